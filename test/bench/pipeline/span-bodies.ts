// P3's bodies: spans of MCP servers as OTLP protobuf, about 0.9 KB each. One in twenty carries a secret, three in ten an attribute
// that is not allowed.
import type { Traces } from "@countersign/pipeline";
import { encodeProto } from "../../../packages/processor/src/otlp/encode-proto.ts";
import { TRACE_REQUEST } from "../../../packages/processor/src/otlp/message.ts";
import { createRandom, type Random } from "../../../packages/processor/src/testing/random.ts";
import { KEPT_KEY, SECRETS, SPAN_ID_PREFIX, UNLISTED_KEYS, UNLISTED_VALUE } from "./planted.ts";

const START_MS = Date.UTC(2026, 10, 22, 9);
const HEX = "0123456789abcdef";
const TOOLS = ["read_ticket", "close_ticket", "search_tickets", "write_file", "query_database"];
const AGENTS = ["support-agent/1.4.0 node/24.21", "desk/2.2.1 (linux; x64)", "copilot-bridge/0.9"];

type Value = string | number;

/** `bodies` requests of `size` spans. Span n has the id {@link SPAN_ID_PREFIX} and n. */
export function traceBodies(bodies: number, size: number): Buffer[] {
  const random = createRandom(11);
  return Array.from({ length: bodies }, (_, body) => {
    const spans = Array.from({ length: size }, (__, at) => spanOf(random, body * size + at));
    const scope = { name: "@countersign/server", version: "0.1.0" };
    const request = {
      resourceSpans: [
        { resource: { attributes: keyValues(resource(random)) }, scopeSpans: [{ scope, spans }] },
      ],
    };
    return encodeProto(request as unknown as Traces, TRACE_REQUEST);
  });
}

function resource(random: Random): Record<string, Value> {
  return {
    "service.name": "tickets",
    "service.version": "3.2.1",
    "service.instance.id": uuid(random),
    "deployment.environment.name": "production",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.language": "nodejs",
  };
}

function spanOf(random: Random, number: number): object {
  const attributes = attributesOf(random, number);
  const startNs = BigInt(START_MS + number) * 1_000_000n;
  const failed = attributes["error.type"] !== undefined;
  return {
    traceId: random.text(HEX, 32),
    spanId: SPAN_ID_PREFIX + number.toString(16).padStart(8, "0"),
    parentSpanId: random.text(HEX, 16),
    name: `tools/call ${attributes["gen_ai.tool.name"]}`,
    kind: 2,
    startTimeUnixNano: String(startNs),
    endTimeUnixNano: String(startNs + BigInt(1 + random.below(90_000_000))),
    attributes: keyValues(attributes),
    ...(failed ? { status: { code: 2, message: "tool failed" } } : {}),
  };
}

function attributesOf(random: Random, number: number): Record<string, Value> {
  const failed = random.chance(0.03);
  const attributes: Record<string, Value> = {
    "mcp.method.name": "tools/call",
    [KEPT_KEY]: uuid(random),
    "mcp.protocol.version": "2026-07-28",
    "gen_ai.tool.name": random.pick(TOOLS),
    "gen_ai.operation.name": "execute_tool",
    "jsonrpc.request.id": String(number),
    "network.transport": "tcp",
    "network.protocol.version": "1.1",
    "server.address": "tickets.mcp.example",
    "server.port": 8443,
    "client.address": `10.${random.below(256)}.${random.below(256)}.${random.below(256)}`,
    "client.port": 32_768 + random.below(28_000),
    "http.request.method": "POST",
    "http.route": "/mcp/{tenant}/messages",
    "http.response.status_code": failed ? 502 : 200,
    "url.path": `/mcp/acme-${random.below(40)}/messages`,
    "url.query": `page=${random.below(50)}&order=newest&cursor=${random.text(HEX, 16)}`,
    "user_agent.original": random.pick(AGENTS),
    "user.id": uuid(random),
    "mcp.resource.uri": `ticket://acme/T-${random.below(90_000)}/files/${random.below(9)}`,
    ...(failed ? { "error.type": "tool_error", "error.message": "upstream did not answer" } : {}),
  };
  if (random.chance(0.05)) Object.assign(attributes, hidden(random.pick(SECRETS), random));
  if (random.chance(0.3)) {
    attributes[UNLISTED_KEYS[0]] =
      `{"ticket":"T-${random.below(90_000)}","note":"${UNLISTED_VALUE}"}`;
    if (random.chance(0.5))
      attributes[UNLISTED_KEYS[1]] = `${UNLISTED_VALUE} ${random.text(HEX, 24)}`;
  }
  return attributes;
}

function hidden(secret: string, random: Random): Record<string, string> {
  return random.pick([
    { "url.query": `page=2&q=${secret}&order=newest` },
    { "error.message": `upstream refused ${secret} three times` },
    { "mcp.resource.uri": `ticket://acme/${secret}/files/1` },
  ] as Record<string, string>[]);
}

function uuid(random: Random): string {
  const part = (length: number): string => random.text(HEX, length);
  return `${part(8)}-${part(4)}-4${part(3)}-a${part(3)}-${part(12)}`;
}

function keyValues(attributes: Record<string, Value>): object[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === "number" ? { intValue: String(value) } : { stringValue: value },
  }));
}
