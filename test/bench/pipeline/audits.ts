// How the far end of a scenario is counted.
import type { KafkaCluster } from "../../services/kafka-broker.ts";
import type { FarEnd } from "./far-end-process.ts";
import type { Audit } from "./measure.ts";

/** P3: every span by its id, nothing that was hidden in one, and in each the key that may stay. */
export function spanAudit(farEnd: FarEnd): Audit {
  return {
    begin: async () => void (await farEnd.ask("reset")),
    arrived: async () => (await farEnd.ask("count")).items,
    check: async (items, times) => {
      const { items: came, ids, least, most, kept, leaks } = await farEnd.ask("audit");
      const leaked = Object.entries(leaks).map(([what, often]) => `${what} (${often})`);
      if (leaked.length > 0) throw new Error(`bench: came through: ${leaked.join(", ")}`);
      if (kept !== items) throw new Error(`bench: ${items} allowed attributes sent, ${kept} came`);
      if (came !== items || ids * times !== items || least !== times || most !== times)
        throw new Error(
          `bench: ${items} spans sent, ${came} came, of ${ids} ids, each ${least} to ${most} times for ${times}`,
        );
    },
  };
}

/** P4: the end offsets of the topic, and nothing in the one for what is put aside. */
export function topicAudit(cluster: KafkaCluster, topic: string): Audit {
  let base = 0;
  const arrived = async (): Promise<number> => (await storedIn(cluster, topic)) - base;
  return {
    begin: async () => {
      base = await storedIn(cluster, topic);
    },
    arrived,
    check: async (items) => {
      const [stored, aside] = [await arrived(), await storedIn(cluster, asideOf(topic))];
      if (stored !== items || aside !== 0)
        throw new Error(`bench: ${items} events sent, ${stored} stored, ${aside} put aside`);
    },
  };
}

/** The topic of events that are put aside, beside `topic`. */
export function asideOf(topic: string): string {
  return `${topic}.aside`;
}

/** The topic of P5's receipts. */
export function receiptsOf(topic: string): string {
  return `${topic}.receipts`;
}

async function storedIn(cluster: KafkaCluster, topic: string): Promise<number> {
  const partitions = await (await cluster.admin()).fetchTopicOffsets(topic);
  return partitions.reduce((sum, { high }) => sum + Number(high), 0);
}
