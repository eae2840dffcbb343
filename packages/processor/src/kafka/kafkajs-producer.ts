import type { Message, RecordMetadata } from "kafkajs";
import { severableClient } from "./kafkajs-connection.ts";
import { loadKafkajs } from "./kafkajs-patched.ts";
import type { LogRecord } from "./port.ts";
import type { Connection } from "./settings.ts";

/** Compression of records on the way to the broker, and in its files. */
export type Compression = "none" | "gzip" | "zstd";

/** What the broker said to one partition of a request. */
export type SendResult = Pick<
  RecordMetadata,
  "topicName" | "partition" | "errorCode" | "baseOffset"
>;

/** A producer for one partition, connected and idempotent. It is used by one batch at a time, and thrown away after a failure. */
export interface PartitionProducer {
  /** Resolves with what the library says that the broker said; the caller checks it. */
  send(records: readonly LogRecord[]): Promise<readonly SendResult[]>;
  /** Ends in order. */
  close(): Promise<void>;
  /** Ends at once: nothing that is under way is written after this. */
  sever(): void;
}

/** How a producer is opened. */
export interface ProducerTarget {
  readonly connection: Connection;
  readonly topic: string;
  readonly partition: number;
  readonly compression: Compression;
}

/**
 * Opens a producer: acks from all replicas, idempotent, one request in flight, no topic made by accident. A producer whose
 * `connect` failed would go on without being idempotent (kafkajs 2.2.4), so it is cut off here.
 */
export async function openProducer(target: ProducerTarget): Promise<PartitionProducer> {
  const { connection, topic, partition, compression } = target;
  const { CompressionTypes } = loadKafkajs();
  const { kafka, sever } = severableClient(connection);
  const producer = kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    metadataMaxAge: 60_000,
    createPartitioner: () => () => partition,
    // Enough for a leader to move. Whoever waits has a deadline, and severs.
    retry: { retries: 20, initialRetryTime: 100, maxRetryTime: 1000 },
  });
  try {
    await producer.connect();
  } catch (error) {
    sever();
    throw error;
  }
  const codec = {
    none: CompressionTypes.None,
    gzip: CompressionTypes.GZIP,
    zstd: CompressionTypes.ZSTD,
  }[compression];
  return {
    send: (records) =>
      producer.send({
        topic,
        acks: -1,
        timeout: connection.requestTimeoutMs,
        compression: codec,
        // Taken as they are by what was put in front of the library's encoder.
        messages: records as unknown as Message[],
      }),
    close: async () => {
      await producer.disconnect();
      sever();
    },
    sever,
  };
}
