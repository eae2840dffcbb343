// Where a group stands in a topic, and where the topic begins.
import type { Admin } from "kafkajs";
import { severableClient } from "./kafkajs-connection.ts";
import type { Connection } from "./settings.ts";

/** Of one partition. */
export interface GroupPlace {
  /** The oldest offset that is still there. */
  readonly low: bigint;
  /** The next offset that the group will read: `low`, if it has read nothing that is still there. */
  readonly position: bigint;
}

/** Asks the cluster. Rejects with what the library throws. */
export async function groupPlaces(
  connection: Connection,
  of: { readonly topic: string; readonly group: string },
): Promise<ReadonlyMap<number, GroupPlace>> {
  const { kafka, sever } = severableClient(connection);
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await places(admin, of);
  } finally {
    await admin.disconnect().catch(() => undefined);
    sever();
  }
}

async function places(
  admin: Admin,
  { topic, group }: { readonly topic: string; readonly group: string },
): Promise<ReadonlyMap<number, GroupPlace>> {
  const [offsets, stored] = await Promise.all([
    admin.fetchTopicOffsets(topic),
    admin.fetchOffsets({ groupId: group, topics: [topic] }),
  ]);
  const committed = new Map(
    (stored[0]?.partitions ?? []).map(({ partition, offset }) => [partition, BigInt(offset)]),
  );
  return new Map(
    offsets.map(({ partition, low: oldest }) => {
      const low = BigInt(oldest);
      // -1: nothing is stored.
      const position = committed.get(partition) ?? -1n;
      return [partition, { low, position: position > low ? position : low }];
    }),
  );
}
