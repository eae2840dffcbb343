import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { PLANTED } from "@countersign/demo/planted";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findTool } from "../deploy/found-tool.ts";
import { freePort } from "../free-port.ts";
import { needlesOf, searchBytes } from "./leak-search.ts";

// A real Jaeger, with the configuration that deploy/ ships, behind `start`: OTEL_EXPORTER_OTLP_ENDPOINT and nothing else.
const root = join(import.meta.dirname, "..", "..");
const bin = join(root, "packages", "cli", "bin", "countersign.js");
const jaeger = findTool("jaeger");
const DEADLINE_MS = 240_000;

let home: string;
let server: ChildProcess | undefined;
let otlp: string;
let api: string;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "countersign-jaeger-"));
  if (jaeger === undefined) return;
  const [otlpPort, queryPort, grpcPort, healthPort] = await Promise.all(
    [1, 2, 3, 4].map(() => freePort()),
  );
  otlp = `http://127.0.0.1:${otlpPort}`;
  api = `http://127.0.0.1:${queryPort}`;
  server = spawn(jaeger, ["--config", "deploy/jaeger/config.yaml"], {
    cwd: root,
    env: {
      ...process.env,
      JAEGER_OTLP_PORT: String(otlpPort),
      JAEGER_QUERY_PORT: String(queryPort),
      JAEGER_GRPC_PORT: String(grpcPort),
      JAEGER_HEALTH_PORT: String(healthPort),
    },
    stdio: "ignore",
  });
  const until = Date.now() + DEADLINE_MS;
  while (!(await fetch(`${api}/api/services`).catch(() => undefined))?.ok) {
    if (Date.now() > until || server.exitCode !== null) throw new Error("Jaeger did not start");
    await delay(100);
  }
}, DEADLINE_MS);
afterAll(() => {
  server?.kill();
  rmSync(home, { recursive: true, force: true });
});

interface JaegerSpan {
  readonly operationName: string;
  readonly spanID: string;
  readonly references: readonly { refType: string; spanID: string }[];
  readonly tags: readonly { key: string; value: unknown }[];
}

test.skipIf(jaeger === undefined)(
  "traces go to the Jaeger of the environment, redacted, whole, and without payload",
  async () => {
    const child = spawn(
      process.execPath,
      [bin, "start", "--once", "--state", join(home, "state")],
      {
        cwd: home,
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: home,
          TMPDIR: home,
          OTEL_EXPORTER_OTLP_ENDPOINT: otlp,
        },
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect({ code, stderr }).toMatchObject({ code: 0 });

    const text = await (await fetch(`${api}/api/traces?service=tickets&limit=200`)).text();
    const { data } = JSON.parse(text) as { data: { spans: JaegerSpan[] }[] };
    const moved = data.find(({ spans }) =>
      spans.some(({ operationName }) => operationName === "tools/call move_ticket"),
    );
    const spans = moved?.spans ?? [];
    const kind = (span: JaegerSpan): unknown =>
      span.tags.find(({ key }) => key === "span.kind")?.value;
    const byKind = (wanted: string, name: string): JaegerSpan | undefined =>
      spans.find((span) => span.operationName === name && kind(span) === wanted);
    const client = byKind("client", "tools/call move_ticket");
    const called = byKind("server", "tools/call move_ticket");
    const authorize = spans.find(({ operationName }) => operationName === "authorize");
    expect(called?.references[0]?.spanID).toBe(client?.spanID);
    expect(authorize?.references[0]?.spanID).toBe(called?.spanID);
    expect(called?.tags.map(({ key }) => key)).toContain("countersign.event.id");

    const needles = Object.entries(PLANTED).flatMap(([label, secret]) => needlesOf(label, secret));
    expect(searchBytes("Jaeger", Buffer.from(text), needles)).toEqual([]);
    expect(text).not.toContain("process.command");
  },
  DEADLINE_MS,
);
