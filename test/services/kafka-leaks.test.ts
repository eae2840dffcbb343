// Planted secrets in front of a real Kafka: none is in a value, a key or a header of the events and dead letters that are stored.
import { createService, loadConfig } from "@countersign/processor";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { plantedRecords } from "../../packages/processor/src/testing/leak-records.ts";
import { createLeakScan } from "../../packages/processor/src/testing/leak-scan.ts";
import { logInto } from "../../packages/processor/src/testing/leak-scene.ts";
import { requestOf } from "../../packages/processor/src/testing/logs.ts";
import { post } from "../../packages/processor/src/testing/receiver.ts";
import { findService } from "./find.ts";
import { type KafkaCluster, startKafka } from "./kafka-broker.ts";
import { soonDeadline } from "./kafka-parts.ts";
import { recordsOnDisk } from "./kafka-segments.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;

let cluster: KafkaCluster;

beforeAll(async () => {
  if (program === undefined) return;
  cluster = await startKafka(program, { nodes: 1 });
  for (const name of ["events", "dlq", "quarantine"]) await cluster.topic({ name, partitions: 1 });
});
afterAll(async () => {
  await cluster?.dispose();
});

/** Keys, values and headers of a topic, as text. */
function stored(topic: string): string {
  const records = recordsOnDisk(cluster.nodes[0]?.directory ?? "", topic, 0);
  return records
    .map(
      ({ key, value, headers }) =>
        `${String(key)} ${String(value)} ${JSON.stringify([...headers])}`,
    )
    .join("\n");
}

describe.skipIf(program === undefined)("leaks into Kafka", () => {
  test("what intake took out is in quarantine and in no other topic, and no line says it", async () => {
    const said: string[] = [];
    const text = `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors: { intake: { tenants: [acme] } }
clients: { main: { brokers: ["${cluster.brokers.join('","')}"] } }
exporters:
  kafka: { client: main, topic: events }
  kafka/dlq: { client: main, topic: dlq }
  kafka/quarantine: { client: main, topic: quarantine }
service:
  dead_letter: kafka/dlq
  quarantine: kafka/quarantine
  pipelines: { decisions: { receivers: [otlp], processors: [intake], exporters: [kafka] } }
`;
    const { config } = loadConfig(text, "kafka-leaks.yaml", {});
    const service = createService(config, { logger: (component) => logInto(said, component) });
    await service.start();
    onTestFinished(() => service.stop(soonDeadline()));
    const scan = createLeakScan();
    const all = [...plantedRecords(1)];
    for (const { secret } of all) scan.plant(secret);
    for (let at = 0; at < all.length; at += 100) {
      const records = all.slice(at, at + 100).map(({ record }) => record);
      const body = JSON.stringify(requestOf(records));
      expect((await post(`${service.endpoints["otlp"]}/v1/logs`, body)).status).toBe(200);
    }
    expect(scan.found([stored("events"), stored("dlq"), ...said].join("\n"))).toEqual([]);
    const taken = all.filter(({ fate }) => fate === "withheld" || fate === "rejected").length;
    expect(scan.found(stored("quarantine"))).toHaveLength(taken);
  });
});
