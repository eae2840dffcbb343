// Is a topic what an audit trail needs? Asked once, at the start: afterwards it would be too late to say so.
import { CountersignError } from "@countersign/model";
import type { Admin } from "kafkajs";
import { faultOf } from "./kafka-fault.ts";
import { severableClient } from "./kafkajs-connection.ts";
import { loadKafkajs } from "./kafkajs-patched.ts";
import type { TopicFacts } from "./port.ts";
import type { Connection, TopicRequirements } from "./settings.ts";

/** What is asked. */
export interface TopicQuestion {
  readonly connection: Connection;
  readonly require: TopicRequirements;
  readonly topic: string;
  /** How long the cluster may take to answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const RETRY_MS = 500;

/**
 * Waits until the cluster answers, and checks the topic. Rejects CONFIG_INVALID when somebody has to change something (the
 * topic, an ACL, a password, the requirement), UNAVAILABLE when the cluster does not answer in time.
 */
export async function checkTopic(question: TopicQuestion): Promise<TopicFacts> {
  const { connection, topic, timeoutMs, signal } = question;
  const startedMs = performance.now();
  for (;;) {
    try {
      return await look(question);
    } catch (error) {
      if (error instanceof CountersignError) throw error;
      const { kind, type } = faultOf(error);
      const final = explain(kind, question, type);
      if (final !== undefined) throw final;
      const spentMs = performance.now() - startedMs;
      if (signal.aborted || spentMs + RETRY_MS > timeoutMs) {
        throw new CountersignError(
          "UNAVAILABLE",
          `${connection.id}: no broker of ${connection.brokers.join(", ")} says what topic ${topic} is (${type}); is the cluster up, and are address and TLS right?`,
          { cause: error },
        );
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function explain(
  kind: string,
  { connection, topic }: TopicQuestion,
  type: string,
): CountersignError | undefined {
  const { id } = connection;
  if (kind === "missing") {
    return new CountersignError(
      "CONFIG_INVALID",
      `${id}: there is no topic ${topic}, and none is made by accident; create it: kafka-topics.sh --create --topic ${topic} --partitions 12 --replication-factor 3 --config min.insync.replicas=2 --config cleanup.policy=delete`,
    );
  }
  if (kind !== "forbidden") return undefined;
  const what = type.includes("AUTHORIZATION")
    ? `may not look at topic ${topic} (${type}); grant Describe and DescribeConfigs on it`
    : `is not let in (${type}); check mechanism, user name and password`;
  return new CountersignError("CONFIG_INVALID", `${id}: the user ${what}`);
}

async function look(question: TopicQuestion): Promise<TopicFacts> {
  const { kafka, sever } = severableClient(question.connection);
  const admin = kafka.admin({ retry: { retries: 2, initialRetryTime: 100, maxRetryTime: 500 } });
  try {
    await admin.connect();
    return await inspect(admin, question);
  } finally {
    await admin.disconnect().catch(() => undefined);
    sever();
  }
}

async function inspect(admin: Admin, question: TopicQuestion): Promise<TopicFacts> {
  const { ConfigResourceTypes } = loadKafkajs();
  const { topic, require: wanted } = question;
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const partitions = topics[0]?.partitions ?? [];
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
  });
  const settings = new Map(
    resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]),
  );
  const replicas = Math.min(...partitions.map((one) => one.replicas.length));
  const found: [name: string, is: string, want: string | undefined, ok: boolean][] = [
    [
      "cleanup.policy",
      settings.get("cleanup.policy") ?? "",
      "delete",
      settings.get("cleanup.policy") === "delete",
    ],
    atLeast(
      "min.insync.replicas",
      Number(settings.get("min.insync.replicas")),
      wanted.min_insync_replicas,
    ),
    atLeast("replication factor", replicas, wanted.replication),
  ];
  for (const [name, is, want, ok] of found) {
    if (!ok) throw mismatch(question, { name, is, want: want ?? "" });
  }
  return {
    partitions: partitions.length,
    maxRecordBytes: Number(settings.get("max.message.bytes") ?? 1_048_588),
  };
}

function atLeast(
  name: string,
  is: number,
  want: number | undefined,
): [string, string, string, boolean] {
  return [name, String(is), `at least ${want}`, want === undefined || is >= want];
}

/** A compacted topic forgets events that share a key: all but the newest of every emitter. */
function mismatch(
  { connection, topic }: TopicQuestion,
  { name, is, want }: { name: string; is: string; want: string },
): CountersignError {
  const why = name === "cleanup.policy" ? ": compaction would delete events" : "";
  return new CountersignError(
    "CONFIG_INVALID",
    `${connection.id}: topic ${topic} has ${name} ${is}, wanted ${want}${why}; change the topic, or \`require\` of the client`,
  );
}
