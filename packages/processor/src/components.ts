import type { ComponentSpec } from "@countersign/pipeline";
import { continuityConnector } from "./connectors/continuity.ts";
import { decisionsConnector } from "./connectors/decisions.ts";
import { archiveExporter } from "./exporters/archive.ts";
import { debugExporter } from "./exporters/debug.ts";
import { elasticsearchExporter } from "./exporters/elasticsearch.ts";
import { fileExporter } from "./exporters/file.ts";
import { kafkaExporter } from "./exporters/kafka.ts";
import { memoryExporter } from "./exporters/memory.ts";
import { otlpHttpExporter } from "./exporters/otlp-http.ts";
import { syslogExporter } from "./exporters/syslog.ts";
import { splunkHecExporter } from "./exporters/splunk-hec.ts";
import { webhookExporter } from "./exporters/webhook.ts";
import { bearerAuthExtension } from "./extensions/bearer-auth.ts";
import { consoleExtension } from "./extensions/console.ts";
import { healthCheckExtension } from "./extensions/health-check.ts";
import { metricsExtension } from "./extensions/metrics.ts";
import { kafkaClient } from "./kafka/client.ts";
import { filterProcessor } from "./processors/filter.ts";
import { intakeProcessor } from "./processors/intake.ts";
import { redactProcessor } from "./processors/redact.ts";
import { archiveReceiver } from "./receivers/archive.ts";
import { kafkaReceiver } from "./receivers/kafka.ts";
import { otlpReceiver } from "./receivers/otlp.ts";

/** THE list: everything that this build contains. A new component is one file and one name here. */
export const COMPONENTS: readonly ComponentSpec[] = [
  otlpReceiver,
  archiveReceiver,
  kafkaReceiver,
  intakeProcessor,
  redactProcessor,
  filterProcessor,
  decisionsConnector,
  continuityConnector,
  archiveExporter,
  kafkaExporter,
  memoryExporter,
  fileExporter,
  elasticsearchExporter,
  otlpHttpExporter,
  syslogExporter,
  splunkHecExporter,
  webhookExporter,
  debugExporter,
  bearerAuthExtension,
  healthCheckExtension,
  metricsExtension,
  consoleExtension,
  kafkaClient,
];

/** What `countersign components` shows of one. */
export type ComponentDescription = Pick<
  ComponentSpec,
  "kind" | "type" | "stability" | "summary" | "signals" | "config"
>;

/** Every component of this build, without its code. */
export function describeComponents(): readonly ComponentDescription[] {
  return COMPONENTS.map(({ kind, type, stability, summary, signals, config }) => ({
    kind,
    type,
    stability,
    summary,
    signals,
    config,
  }));
}
