// Configurations that the repository ships, as processes. Those with Kafka are booted in test/services/kafka-config.test.ts,
// config/embedded.yaml in processor.test.ts.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { logRecord, requestOf } from "../../packages/processor/src/testing/logs.ts";
import {
  postSecurely,
  shippedConfig,
  writeSecrets,
} from "../../packages/processor/src/testing/shipped-config.ts";
import { startProcessor } from "./processor-process.ts";

test("config/archive-only.yaml: TLS, a token, the archive, the page", async () => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-archive-only-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const secrets = writeSecrets(directory);
  const config = join(directory, "config.yaml");
  writeFileSync(config, shippedConfig("archive-only.yaml", directory, secrets));
  const processor = await startProcessor(config);
  try {
    const url = `${processor.endpoints["otlp"]}/v1/logs`;
    expect(url).toMatch(/^https:/);
    const body = requestOf(sealedEvents(4).map(logRecord));
    expect(await postSecurely(url, body, { ca: secrets.ca })).toBe(401);
    expect(await postSecurely(url, body, secrets)).toBe(200);
    const page = new URL(processor.consoleUrl);
    const login = await fetch(page, { redirect: "manual" });
    const cookie = login.headers.get("set-cookie")?.split(";", 1)[0] ?? "";
    const decisions = async (): Promise<number> => {
      const answer = await fetch(`${page.origin}/api/decisions`, { headers: { cookie } });
      return ((await answer.json()) as { rows: unknown[] }).rows.length;
    };
    await expect.poll(decisions, { timeout: 20_000 }).toBe(4);
    const ready = await fetch(`${processor.endpoints["health_check"]}/ready`);
    expect(ready.status).toBe(200);
  } finally {
    expect(await processor.end("SIGTERM")).toBe(0);
  }
});
