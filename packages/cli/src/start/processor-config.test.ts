import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deriveConfig } from "./processor-config.ts";

let directory: string;
let taken: Server;
let port: number;

const yaml = (wanted: number): string => `
extensions:
  health_check: { endpoint: 127.0.0.1:0 }
  metrics: { endpoint: 127.0.0.1:0 }
  console: { endpoint: 127.0.0.1:${wanted}, archive: archive }
receivers:
  otlp: { protocols: { http: { endpoint: 127.0.0.1:0 } } }
  archive: { from: archive, cursors: ./.countersign/cursors }
exporters:
  archive: { directory: ./.countersign/archive }
service:
  pipelines:
    traces: { receivers: [otlp], processors: [redact], exporters: [memory] }
`;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "derive-"));
  taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  ({ port } = taken.address() as { port: number });
});
afterAll(() => {
  taken.close();
  rmSync(directory, { recursive: true });
});

async function derive(
  traces?: string,
): Promise<{ config: Record<string, never>; notes: readonly string[]; consolePort: number }> {
  const file = join(directory, "embedded.yaml");
  writeFileSync(file, yaml(port));
  const derived = await deriveConfig({
    file,
    directory: "/state",
    tokenVariable: "TOKEN",
    ...(traces === undefined ? {} : { traces }),
  });
  return { ...derived, config: JSON.parse(derived.text) as Record<string, never> };
}

test("a port that is taken is replaced, and said so", async () => {
  const { config, notes, consolePort } = await derive();
  expect(consolePort).not.toBe(port);
  expect(config).toMatchObject({
    extensions: {
      console: {
        endpoint: `127.0.0.1:${consolePort}`,
        archive: "archive",
        token: "${env:TOKEN}",
      },
    },
  });
  expect(notes).toContainEqual(`Port ${port} is taken: page on ${consolePort} instead.`);
});

test("everything that is kept is kept below one directory", async () => {
  const { config } = await derive();
  expect(config).toMatchObject({
    receivers: { archive: { cursors: "/state/cursors" } },
    exporters: { archive: { directory: "/state/archive" } },
  });
});

test("another trace backend gets the redacted spans, and never holds the audit trail up", async () => {
  expect(JSON.stringify((await derive()).config)).not.toContain("otlp_http");
  const { config } = await derive("http://127.0.0.1:4999");
  expect(config).toMatchObject({
    exporters: { "otlp_http/upstream": { endpoint: "http://127.0.0.1:4999" } },
    service: {
      pipelines: {
        traces: { exporters: ["memory"] },
        "traces/upstream": {
          processors: ["redact"],
          exporters: ["otlp_http/upstream"],
          on_full: "drop",
        },
      },
    },
  });
});
