import { createLane, type Lane } from "./lane.ts";
import {
  type Compression,
  openProducer,
  type PartitionProducer,
  type ProducerTarget,
} from "./kafkajs-producer.ts";
import type { Append, AuditLog } from "./port.ts";
import type { Connection } from "./settings.ts";

/** What a log needs. */
export interface LogOptions {
  readonly connection: Connection;
  readonly compression: Compression;
  /** Largest record batch that the topics take: their max.message.bytes. */
  readonly maxBatchBytes: number;
  /** How a producer is opened; tests put a faulty one in its place. */
  readonly open?: (target: ProducerTarget) => Promise<PartitionProducer>;
}

/** Bytes that wait for one partition. */
const MAX_WAITING_BYTES = 16 * 1024 ** 2;
/** Largest request, whatever the topic takes: what is larger only takes longer to fail. */
const MAX_BATCH_BYTES = 1024 ** 2;

/** A log with a lane for every partition: a connection, a producer and a queue of its own. */
export interface LaneLog extends AuditLog {
  /** Opens a lane, so that a fault shows before the first event. */
  prepare(topic: string, partition: number, deadlineMs: number): Promise<void>;
}

/** Makes a log by kafkajs. It connects when it is used. */
export function createLaneLog(options: LogOptions): LaneLog {
  const { connection, compression, open = openProducer } = options;
  const lanes = new Map<string, Lane>();
  const laneOf = (topic: string, partition: number): Lane => {
    const key = `${topic}/${partition}`;
    let lane = lanes.get(key);
    if (lane === undefined) {
      lane = createLane({
        id: connection.id,
        topic,
        partition,
        maxBatchBytes: Math.min(MAX_BATCH_BYTES, options.maxBatchBytes),
        maxWaitingBytes: MAX_WAITING_BYTES,
        open: () => open({ connection, topic, partition, compression }),
      });
      lanes.set(key, lane);
    }
    return lane;
  };
  return {
    append: ({ topic, partition, records }: Append, deadlineMs) =>
      laneOf(topic, partition).append(records, deadlineMs),
    prepare: (topic, partition, deadlineMs) => laneOf(topic, partition).prepare(deadlineMs),
    close: async (deadline) => {
      await Promise.all([...lanes.values()].map((lane) => lane.close(deadline)));
    },
  };
}
