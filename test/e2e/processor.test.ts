// The embedded configuration as a process: what comes in by OTLP, what stands on disk and on the endpoints, and how it ends.
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import {
  ATTR_EVENT_HASH,
  canonicalBytes,
  draftDecision,
  eventTime,
  GENESIS,
  seal,
  type SealedEvent,
  unseal,
  uuidv7,
} from "@countersign/model";
import { expect, test } from "vitest";
import { embeddedHome, startProcessor } from "./processor-process.ts";
import { freePort } from "../free-port.ts";

function sealed(seq: number, prev: string): SealedEvent {
  const draft = draftDecision({
    id: uuidv7(),
    nameKnown: true,
    tenant: "acme",
    mode: "enforce",
    decision: "deny",
    reason: "forbidden",
    effect: "block",
    call: { method: "tools/call", name: "read_ticket", transport: "stdio", gate: "guard" },
    human: {
      issuer: "https://idp.example",
      subject: "auth0|alice",
      assurance: "bearer",
      method: "bearer",
    },
    server: { id: "urn:mcp:tickets" },
    policy: { digest: `sha256:${"0".repeat(64)}` },
    durationUs: 100,
  });
  return seal(
    draft,
    { emitter: "tickets-e2e", epoch: "7".repeat(32), seq, prev },
    eventTime(Date.now()),
  );
}

function record(event: SealedEvent): object {
  return {
    eventName: "countersign.decision",
    body: { stringValue: Buffer.from(event.bytes).toString("utf8") },
    attributes: [{ key: ATTR_EVENT_HASH, value: { stringValue: event.hash } }],
  };
}

async function post(url: string, path: string, body: object): Promise<number> {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}${path}`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response.status;
}

const logs = (records: readonly object[]): object => ({
  resourceLogs: [{ scopeLogs: [{ logRecords: records }] }],
});
const CARD = "4111 1111 1111 1111";

test("embedded: events to the archive and the SIEM's file, leaks to quarantine, junk to dead letters, spans to the page", async () => {
  using home = embeddedHome(0);
  const processor = await startProcessor(home.config);
  try {
    const { otlp, health_check: health, metrics } = processor.endpoints as Record<string, string>;
    const first = sealed(0, GENESIS);
    const second = sealed(1, first.hash);
    const leaking = structuredClone(second.event) as unknown as {
      subject: string;
      data: { call: { name: string } };
    };
    leaking.data.call.name = CARD;
    leaking.subject = "tools/call";
    const leak = unseal(canonicalBytes(leaking));
    const junk = { ...record(first), body: { stringValue: "{}" } };
    expect(await post(otlp as string, "/v1/logs", logs([record(first), record(leak), junk]))).toBe(
      200,
    );
    expect(await post(otlp as string, "/v1/logs", logs([record(first)]))).toBe(200);

    const provider = new TracerProvider({
      spanProcessors: [
        new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${otlp}/v1/traces` }) }),
      ],
    });
    const parent = provider.getTracer("t").startSpan("tools/call read_ticket", {
      attributes: { "mcp.method.name": "tools/call", card: CARD },
    });
    provider.getTracer("t").startSpan(`pay ${CARD}`, {}, trace.setSpan(ROOT_CONTEXT, parent)).end();
    parent.end();
    await provider.forceFlush();
    await provider.shutdown();

    await expect.poll(() => home.lines("out").length, { timeout: 10_000 }).toBe(2);
    const page = new URL(processor.consoleUrl);
    const login = await fetch(page, { redirect: "manual" });
    const cookie = login.headers.get("set-cookie")?.split(";", 1)[0] ?? "";
    const spans = await fetch(`${page.origin}/api/traces/${parent.spanContext().traceId}`, {
      headers: { cookie },
    });
    const shown = await spans.text();
    expect(shown).toContain("tools/call read_ticket");
    expect(shown).not.toContain("4111");

    expect((await fetch(`${health}/ready`)).status).toBe(200);
    const figures = await (await fetch(`${metrics}/metrics`)).text();
    for (const line of [
      'countersign_receiver_accepted_log_records_total{receiver="otlp"} 4',
      'countersign_receiver_accepted_spans_total{receiver="otlp"} 2',
      'countersign_exporter_sent_log_records_total{exporter="file/siem"} 2',
      'countersign_archive_size{exporter="archive"} 2',
      'countersign_archive_duplicates{exporter="archive"} 1',
      "countersign_quarantined_items_total 1",
      "countersign_dead_letter_items_total 1",
      'countersign_receiver_lag{pipeline="decisions/siem",receiver="archive"} 0',
    ]) {
      expect(figures).toContain(line);
    }
    expect(await processor.end("SIGTERM")).toBe(0);
  } finally {
    processor.child.kill("SIGKILL");
  }
  expect(
    home.lines("quarantine").map((line) => (JSON.parse(line) as { reason: string }).reason),
  ).toEqual(["leak"]);
  expect(
    home
      .lines("dead-letter")
      .map((line) => (JSON.parse(line) as { reason: string; value: string }).value),
  ).toEqual(["{}"]);
  for (const directory of ["quarantine", "dead-letter", "out"]) {
    for (const file of readdirSync(join(home.directory, directory))) {
      expect(statSync(join(home.directory, directory, file)).mode & 0o777).toBe(0o600);
    }
  }
  expect(
    `${home.lines("out").join()}${home.lines("dead-letter").join()}${processor.errors()}`,
  ).not.toContain("4111");
});

test("a port that is taken: 69 and a sentence that says which", async () => {
  const other = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
  using home = embeddedHome(port);
  try {
    await expect(startProcessor(home.config)).rejects.toThrow(
      new RegExp(
        `ended with 69:[^]*otlp: cannot listen on 127.0.0.1:${port} .EADDRINUSE.; free the port`,
      ),
    );
  } finally {
    other.close();
  }
});

test("an archive that another process has: 69, and the other one goes on", async () => {
  using home = embeddedHome(0);
  const first = await startProcessor(home.config);
  try {
    await expect(startProcessor(home.config)).rejects.toThrow(/ended with 69:[^]*archive/);
    expect(
      await post(first.endpoints["otlp"] as string, "/v1/logs", logs([record(sealed(0, GENESIS))])),
    ).toBe(200);
    expect(await first.end("SIGTERM")).toBe(0);
  } finally {
    first.child.kill("SIGKILL");
  }
});

test("a configuration with problems: 78 and every problem with its place; a missing file: 66", async () => {
  using home = embeddedHome(0, (yaml) =>
    yaml.replace("preset: mcp", "preset: mpc").replace("[archive] }", "[archives] }"),
  );
  await expect(startProcessor(home.config)).rejects.toThrow(
    /ended with 78:[^]*config\.yaml:\d+:\d+: processors\.redact\.preset[^]*no exporter is called archives/,
  );
  await expect(startProcessor(join(home.directory, "none.yaml"))).rejects.toThrow(/ended with 66/);
});

test("dead letters that cannot be written: 503, and nothing was acknowledged", async () => {
  using home = embeddedHome(0);
  const processor = await startProcessor(home.config);
  try {
    rmSync(join(home.directory, "dead-letter"), { recursive: true });
    writeFileSync(join(home.directory, "dead-letter"), "in the way");
    const junk = { ...record(sealed(0, GENESIS)), body: { stringValue: "{}" } };
    expect(await post(processor.endpoints["otlp"] as string, "/v1/logs", logs([junk]))).toBe(503);
    const health = await fetch(`${processor.endpoints["health_check"]}/ready`);
    expect([health.status, ((await health.json()) as { status: string }).status]).toEqual([
      503,
      "failed",
    ]);
    rmSync(join(home.directory, "dead-letter"));
    mkdirSync(join(home.directory, "dead-letter"));
    expect(await post(processor.endpoints["otlp"] as string, "/v1/logs", logs([junk]))).toBe(200);
    expect((await fetch(`${processor.endpoints["health_check"]}/ready`)).status).toBe(200);
  } finally {
    await processor.end("SIGTERM");
  }
});
