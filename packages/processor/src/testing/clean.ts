// Spans as services send them, without a secret: ids, hashes, versions, addresses, times.
import type { AnyValue, Span } from "@countersign/pipeline";
import { createRandom, type Random } from "./random.ts";

const HEX = "0123456789abcdef";

function uuid(random: Random): string {
  return [8, 4, 4, 4, 12].map((length) => random.text(HEX, length)).join("-");
}

const AGENTS = [
  "claude-code/2.1.0 (cli; linux x64)",
  "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  "OTel-OTLP-Exporter-JavaScript/0.301.0",
];

function texts(random: Random): Readonly<Record<string, string>> {
  const time = new Date(1_795_344_000_000 + random.below(2 ** 31)).toISOString();
  return {
    "mcp.method.name": "tools/call",
    "mcp.session.id": uuid(random),
    "user.id": uuid(random),
    "jsonrpc.request.id": String(random.below(2 ** 31)),
    "countersign.event.id": `019ab6c0-${random.text(HEX, 4)}-7${random.text(HEX, 3)}-8${random.text(HEX, 3)}-${random.text(HEX, 12)}`,
    "countersign.policy.digest": `sha256:${random.text(HEX, 64)}`,
    "server.address": `tickets-${random.text(HEX, 10)}-${random.text(HEX, 5)}.prod.svc.cluster.local`,
    "client.address": [0, 0, 0, 0].map(() => random.below(256)).join("."),
    "url.path": `/v1/accounts/${random.below(10 ** 8)}/tickets/T-${random.below(10 ** 6)}`,
    "url.query": `page=${random.below(50)}&since=${time}&trace=${random.text(HEX, 16)}`,
    "user_agent.original": random.pick(AGENTS),
    "http.request.header.traceparent": `00-${random.text(HEX, 32)}-${random.text(HEX, 16)}-01`,
    "container.id": random.text(HEX, 64),
    "service.version": `${random.below(9)}.${random.below(40)}.${random.below(99)}+${random.text(HEX, 7)}`,
    "db.query.text":
      "SELECT * FROM tickets WHERE queue = ? AND created_at > ? ORDER BY id LIMIT 50",
    "error.message": `upstream timed out after ${random.below(30_000)} ms (attempt ${random.below(4)})`,
    "aws.arn": `arn:aws:lambda:eu-west-1:${random.text("0123456789", 12)}:function:tickets`,
    "time.unix_nano": `179534400${random.text("0123456789", 10)}`,
  };
}

/** Keys of clean spans. */
export const CLEAN_KEYS: readonly string[] = [
  ...Object.keys(texts(createRandom(0))),
  "n.int",
  "n.double",
];

/** One clean span. */
export function cleanSpan(random: Random): Span {
  const values = Object.entries(texts(random)).map(([key, stringValue]) => ({
    key,
    value: { stringValue } as AnyValue,
  }));
  values.push({ key: "n.int", value: { intValue: String(random.below(2 ** 40)) } });
  values.push({ key: "n.double", value: { doubleValue: random.below(2 ** 31) / 1000 } });
  return {
    traceId: `1${random.text(HEX, 31)}`,
    spanId: `1${random.text(HEX, 15)}`,
    name: `tools/call ${random.pick(["read_ticket", "close_ticket", "query_database"])}`,
    kind: 2,
    startTimeUnixNano: "1795338003412000001",
    endTimeUnixNano: "1795338003413000001",
    attributes: values,
  };
}
