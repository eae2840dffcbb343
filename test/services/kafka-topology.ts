// Who leads which partition of a topic, asked of the cluster and changed there.
import type { KafkaCluster } from "./kafka-broker.ts";
import { until } from "./kafka-parts.ts";

interface PartitionState {
  readonly leader: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
}

async function partitionsOf(cluster: KafkaCluster, topic: string): Promise<PartitionState[]> {
  const admin = await cluster.admin();
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return (topics[0]?.partitions ?? []).toSorted((a, b) => a.partitionId - b.partitionId);
}

/** The leader of each partition; -1 without one. */
export async function leadersOf(cluster: KafkaCluster, topic: string): Promise<readonly number[]> {
  return (await partitionsOf(cluster, topic)).map(({ leader }) => leader);
}

/** Whether every partition has a leader and `replicas` replicas, all of them in sync. */
export async function isWhole(
  cluster: KafkaCluster,
  topic: string,
  replicas: number,
): Promise<boolean> {
  const partitions = await partitionsOf(cluster, topic);
  return partitions.every(({ leader, isr }) => leader >= 0 && isr.length === replicas);
}

/** Gives a partition these replicas; resolves when the first of them leads. */
export async function reassign(
  cluster: KafkaCluster,
  place: { readonly topic: string; readonly partition: number },
  replicas: readonly number[],
): Promise<void> {
  const { topic, partition } = place;
  const admin = await cluster.admin();
  await admin.alterPartitionReassignments({
    topics: [{ topic, partitionAssignment: [{ partition, replicas: [...replicas] }] }],
  });
  await until("the leader has moved", async () =>
    replicas.includes((await leadersOf(cluster, topic))[partition] ?? -1),
  );
}
