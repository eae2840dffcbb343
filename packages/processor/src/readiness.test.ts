// The shipped configurations: whose failure takes the receiver of OTLP out of service.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@countersign/model";
import { expect, onTestFinished, test } from "vitest";
import { loadConfig } from "./configuration.ts";
import { createService } from "./service.ts";
import { SHIPPED_ENV, shippedConfig, writeSecrets } from "./testing/shipped-config.ts";

test.each<[string, readonly string[]]>([
  ["embedded.yaml", ["exporter file/receipts", "exporter file/siem", "receiver archive"]],
  ["archive-only.yaml", ["receiver archive"]],
  ["kafka-ingest.yaml", ["exporter otlp_http/tempo"]],
  [
    "kafka.yaml",
    [
      "exporter archive",
      "exporter elasticsearch/main",
      "exporter kafka/receipts",
      "exporter otlp_http/tempo",
      "exporter splunk_hec/soc",
      "receiver kafka/archive",
      "receiver kafka/continuity",
      "receiver kafka/elastic",
      "receiver kafka/splunk",
    ],
  ],
])("%s: what stands beside the way in", (file, beside) => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-readiness-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const text = shippedConfig(file, directory, writeSecrets(directory));
  const { config } = loadConfig(text, file, SHIPPED_ENV);
  const service = createService(config, { logger: () => silentLogger });
  expect([...service.health().beside].toSorted()).toEqual(beside);
});
