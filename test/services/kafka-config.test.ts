// What the service says at its start to a Kafka that is not as it must be, and the configurations with Kafka against one that is.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SealedEvent } from "@countersign/model";
import type { Receipt } from "@countersign/pipeline";
import { createService, loadConfig, type Service } from "@countersign/processor";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parse, stringify } from "yaml";
import { loadKafkajs } from "../../packages/processor/src/kafka/kafkajs-patched.ts";
import type { ClientConfig } from "../../packages/processor/src/kafka/settings.ts";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import {
  fakeElasticsearch,
  STREAM,
} from "../../packages/processor/src/testing/fake-elasticsearch.ts";
import { fakeHec } from "../../packages/processor/src/testing/fake-hec.ts";
import { logRecord, requestOf } from "../../packages/processor/src/testing/logs.ts";
import {
  postSecurely,
  type Secrets,
  shippedConfig,
  writeSecrets,
} from "../../packages/processor/src/testing/shipped-config.ts";
import { findService } from "./find.ts";
import { type KafkaCluster, startKafka } from "./kafka-broker.ts";
import { clientOf, exporterOf, receiverOf, SIGNAL, soonDeadline, until } from "./kafka-parts.ts";
import { recordsOnDisk } from "./kafka-segments.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;

const USERS = {
  countersign: "right-password",
  stranger: "other-password",
  reader: "third-password",
};

let cluster: KafkaCluster;

beforeAll(async () => {
  if (program === undefined) return;
  cluster = await startKafka(program, { nodes: 1, users: USERS });
  await cluster.topic({ name: "good", partitions: 2 });
  await cluster.topic({ name: "compacted", config: { "cleanup.policy": "compact" } });
});
afterAll(async () => {
  await cluster?.dispose();
});

type User = keyof typeof USERS;

const sasl = (username: User, password: string = USERS[username]) =>
  ({ sasl: { mechanism: "scram-sha-512", username, password } }) as const;

/** What a start of an exporter, or else a receiver, says. */
async function startOf(
  topic: string,
  more: Partial<ClientConfig>,
  brokers = cluster.brokers,
  reads = false,
): Promise<unknown> {
  const client = clientOf(brokers, { start_timeout: "3s", ...more });
  const component = reads
    ? receiverOf(client, { topic, group: "of-the-test", consume: () => Promise.resolve() })
    : exporterOf(client, topic);
  try {
    await component.start(SIGNAL);
    return "started";
  } catch (error) {
    return error;
  } finally {
    await component.stop(soonDeadline());
    await client.stop(soonDeadline());
  }
}

const text = (part: string): string => expect.stringContaining(part) as string;

async function allow(
  user: User,
  on: { topics?: string; groups?: string },
  operations: readonly ("READ" | "WRITE" | "DESCRIBE" | "DESCRIBE_CONFIGS")[],
): Promise<void> {
  const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } =
    loadKafkajs();
  const admin = await cluster.admin();
  const acl = operations.map((operation) => ({
    resourceType: on.topics === undefined ? AclResourceTypes.GROUP : AclResourceTypes.TOPIC,
    resourceName: on.topics ?? on.groups ?? "",
    resourcePatternType: ResourcePatternTypes.PREFIXED,
    principal: `User:${user}`,
    host: "*",
    operation: AclOperationTypes[operation],
    permissionType: AclPermissionTypes.ALLOW,
  }));
  await admin.createAcls({ acl });
}

/** As a user whose rights were just given: they are there a moment after. */
async function startOfReader(reads: boolean): Promise<unknown> {
  let said: unknown;
  await until("the user may look", async () => {
    said = await startOf("good", sasl("reader"), [cluster.sasl], reads);
    return !(said as Error).message.includes("may not look");
  });
  return said;
}

describe.skipIf(program === undefined)("at the start", () => {
  test("a topic that is not there is named, with the command that makes it; none is made", async () => {
    for (const reads of [false, true]) {
      expect(await startOf("missing", {}, cluster.brokers, reads)).toMatchObject({
        code: "CONFIG_INVALID",
        message: text(
          "main: there is no topic missing, and none is made by accident; create it: kafka-topics.sh",
        ),
      });
    }
    expect(await (await cluster.admin()).listTopics()).not.toContain("missing");
  });

  test("a compacted topic is refused", async () => {
    expect(await startOf("compacted", {})).toMatchObject({
      code: "CONFIG_INVALID",
      message: text(
        "topic compacted has cleanup.policy compact, wanted delete: compaction would delete events",
      ),
    });
  });

  test.each([
    [{ min_insync_replicas: 2 }, "min.insync.replicas 1, wanted at least 2"],
    [{ replication: 3 }, "replication factor 1, wanted at least 3"],
  ])("a topic that does not keep what %o asks is refused", async (more, says) => {
    const required = { cleanup_policy: "delete", ...more } as const;
    expect(await startOf("good", { require: required })).toMatchObject({
      code: "CONFIG_INVALID",
      message: text(says),
    });
  });

  test("a wrong password is said to be one", async () => {
    expect(await startOf("good", sasl("countersign", "wrong"), [cluster.sasl])).toMatchObject({
      code: "CONFIG_INVALID",
      message: text(
        "the user is not let in (KafkaJSSASLAuthenticationError); check mechanism, user name and password",
      ),
    });
  });

  test("a user who may not look is told what to grant", async () => {
    expect(await startOf("good", sasl("stranger"), [cluster.sasl])).toMatchObject({
      code: "CONFIG_INVALID",
      message: text(
        "may not look at topic good (TOPIC_AUTHORIZATION_FAILED); grant Describe and DescribeConfigs on it",
      ),
    });
  });

  test("a user who may look and not write, or not read, is told so", async () => {
    await allow("reader", { topics: "good" }, ["DESCRIBE", "DESCRIBE_CONFIGS"]);
    expect(await startOfReader(false)).toMatchObject({
      code: "CONFIG_INVALID",
      message: text("grant Write on it"),
    });
    expect(await startOfReader(true)).toMatchObject({
      code: "CONFIG_INVALID",
      message: text("may not read good as group of-the-test (GROUP_AUTHORIZATION_FAILED)"),
    });
  });

  test("a certificate of an unknown authority is no broker", async () => {
    expect(
      await startOf("good", { tls: true, ...sasl("countersign") }, [cluster.saslTls]),
    ).toMatchObject({
      code: "UNAVAILABLE",
      message: text("is the cluster up, and are address and TLS right?"),
    });
  });

  test("a cluster that is away is waited for, and then named", async () => {
    expect(await startOf("good", { start_timeout: "1s" }, ["127.0.0.1:9"])).toMatchObject({
      code: "UNAVAILABLE",
      message: text("no broker of 127.0.0.1:9 says what topic good is (ECONNREFUSED)"),
    });
  });
});

const DEPLOYMENTS = [
  { files: ["kafka.yaml"], emitters: ["a", "b", "c"] },
  {
    files: ["kafka-archive.yaml", "kafka-deliver.yaml", "kafka-ingest.yaml"],
    emitters: ["d", "e", "f"],
  },
];

describe.skipIf(program === undefined)("the configurations with Kafka", () => {
  beforeAll(async () => {
    for (const name of ["events", "dlq", "quarantine", "receipts"]) {
      await cluster.topic({
        name: `countersign.${name}.v1`,
        partitions: name === "events" ? 3 : 1,
      });
    }
    await allow("countersign", { topics: "countersign." }, [
      "READ",
      "WRITE",
      "DESCRIBE",
      "DESCRIBE_CONFIGS",
    ]);
    await allow("countersign", { groups: "countersign-" }, ["READ"]);
  });

  test.each(DEPLOYMENTS)(
    "$files: TLS and a token, SCRAM; what OTLP brings is in Kafka at the 200, then archived, delivered and receipted",
    async ({ files, emitters }) => {
      const directory = mkdtempSync(join(tmpdir(), "countersign-kafka-config-"));
      onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
      const secrets = writeSecrets(directory);
      const hec = await fakeHec({ afterQuestions: 1 });
      onTestFinished(() => hec.close());
      const elastic = await fakeElasticsearch();
      elastic.authorization = "ApiKey of-the-test";
      const before = onDisk("countersign.dlq.v1").length;
      const receiptsBefore = onDisk("countersign.receipts.v1").length;
      let url = "";
      for (const file of files) {
        const { endpoints } = await booted(file, directory, secrets, {
          SPLUNK_HEC_ENDPOINT: hec.url,
          SPLUNK_HEC_TOKEN: hec.token,
          ELASTIC_ENDPOINT: elastic.url,
          ELASTIC_API_KEY: "of-the-test",
        });
        url = `${endpoints["otlp"]}/v1/logs`;
      }
      const events = emitters.flatMap((emitter) => sealedEvents(10, { emitter, outcomes: true }));
      const broken = { ...logRecord(events[0] as SealedEvent), body: { stringValue: "{}" } };
      const body = requestOf([...events.map(logRecord), broken]);
      expect(await postSecurely(url, body, { ca: secrets.ca })).toBe(401);
      expect(await postSecurely(url, body, secrets)).toBe(200);
      const stored = [0, 1, 2].flatMap((partition) => onDisk("countersign.events.v1", partition));
      expect(new Set(stored.map(({ headers }) => headers.get("cs_hash")))).toEqual(
        new Set([
          ...stored.map(({ headers }) => headers.get("cs_hash")),
          ...events.map(({ hash }) => hash),
        ]),
      );
      const letters = onDisk("countersign.dlq.v1").slice(before);
      expect(letters.map(({ headers }) => headers.get("cs_dlq_reason"))).toEqual(["hash_mismatch"]);

      const decisions = events.filter(({ event }) => event.type.includes("decision")).length;
      await until("Splunk has the decisions", () => hec.stored.length === decisions);
      await until("Elastic has all", () => elastic.count === 30);
      const receipts = () =>
        onDisk("countersign.receipts.v1")
          .slice(receiptsBefore)
          .map(({ value }) => JSON.parse(String(value)) as Receipt);
      const counted = (sink: string) =>
        receipts()
          .filter((one) => one.sink === sink)
          .reduce((sum, one) => sum + one.events, 0);
      await until("the receipts are there", () =>
        ["archive", "splunk_hec/soc", "elasticsearch/main"].every((sink) => counted(sink) === 30),
      );
      const siem = receipts().filter(({ sink }) => sink === "splunk_hec/soc");
      expect(siem.reduce((sum, { delivered }) => sum + delivered, 0)).toBe(decisions);
      expect(siem.reduce((sum, { filtered }) => sum + filtered, 0)).toBe(30 - decisions);
      expect([...hec.violations, ...elastic.violations]).toEqual([]);
    },
  );
});

async function booted(
  file: string,
  directory: string,
  secrets: Secrets,
  sinks: Readonly<Record<string, string>>,
): Promise<Service> {
  const yaml = parse(shippedConfig(file, directory, secrets)) as {
    clients: { main: Record<string, unknown> };
    exporters: Record<string, Record<string, unknown>>;
  };
  Object.assign(yaml.clients.main, {
    brokers: [cluster.saslTls],
    tls: { ca: cluster.ca },
    // One broker has no second replica.
    require: { min_insync_replicas: 1, cleanup_policy: "delete" },
  });
  // The one that the fake has.
  if (yaml.exporters["elasticsearch/main"] !== undefined)
    yaml.exporters["elasticsearch/main"]["data_stream"] = STREAM;
  const env = { KAFKA_PASSWORD: USERS.countersign, ...sinks };
  const service = createService(loadConfig(stringify(yaml), file, env).config);
  // The rules are there a moment after they were made.
  await until("the service starts", () =>
    service.start().then(
      () => true,
      (error: Error) => Promise.reject(error),
    ),
  );
  onTestFinished(() => service.stop(soonDeadline()));
  return service;
}

const onDisk = (topic: string, partition = 0) =>
  recordsOnDisk(cluster.nodes[0]?.directory ?? "", topic, partition);
