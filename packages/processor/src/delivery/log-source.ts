// A log that sinks are fed from, read once more beside its receiver: Kafka or the archive.
import { openArchiveView } from "@countersign/archive";
import { CountersignError, type SealedEvent } from "@countersign/model";
import { type Config, type Configured, durationMs, type ReceiverSpec } from "@countersign/pipeline";
import { openTopicReader } from "../kafka/kafkajs-topic-reader.ts";
import type { PartitionBounds, TopicReader } from "../kafka/port.ts";
import { readRecord } from "../kafka/record.ts";
import { type ClientConfig, connectionOf } from "../kafka/settings.ts";

/** One place of a log. Without an event it holds something that is none: the receiver dead-lettered it. */
export interface LogEntry {
  readonly offset: bigint;
  readonly event?: SealedEvent;
}

/** A log, as it was when it was opened. */
export interface LogSource {
  /** As receipts name it. */
  readonly name: string;
  /** What its partitions held then. */
  readonly bounds: readonly PartitionBounds[];
  /**
   * By partition, where to begin to find every event of that time or later: a day early, since an emitter's clock may be ahead
   * of the one that the log was written by.
   */
  firstAt(timeMs: number): Promise<ReadonlyMap<number, bigint>>;
  /** Everything in a stretch, in order; at most 1,024 entries or about 8 MiB at once. */
  read(stretch: PartitionBounds, signal: AbortSignal): AsyncIterable<readonly LogEntry[]>;
  close(): Promise<void>;
}

const DAY_MS = 86_400_000;
const ARCHIVE_READ = 1024;

/** Opens the log that a receiver reads. Rejects CONFIG_INVALID when that reads none, UNAVAILABLE when it does not answer. */
export async function openLogSource(
  config: Config,
  receiver: Configured<ReceiverSpec>,
): Promise<LogSource> {
  const settings = receiver.config as Readonly<Record<string, string>>;
  if (receiver.spec.type === "kafka")
    return await topicSource(await openTopic(config, settings["client"], settings["topic"]));
  if (receiver.spec.type === "archive") return await archiveSource(config, settings["from"] ?? "");
  throw new CountersignError(
    "CONFIG_INVALID",
    `${receiver.id}: only a log can be read again; it reads none`,
  );
}

/** Opens a topic of a configuration by the id of its client. */
export async function openTopic(
  config: Config,
  clientId: string | undefined,
  topic: string | undefined,
): Promise<TopicReader> {
  const client = config.clients.get(clientId ?? "");
  if (client === undefined || topic === undefined)
    throw new CountersignError("BUG", `kafka: client ${clientId} or its topic is not configured`);
  const settings = client.config as ClientConfig;
  return await openTopicReader({
    connection: connectionOf(client.id, settings),
    topic,
    timeoutMs: durationMs(settings.start_timeout),
  });
}

async function topicSource(reader: TopicReader): Promise<LogSource> {
  try {
    const bounds = await reader.bounds();
    return {
      name: reader.topic,
      bounds,
      firstAt: (timeMs) => reader.firstAt(Math.max(0, timeMs - DAY_MS)),
      read: (stretch, signal) => entriesOf(reader, stretch, signal),
      close: () => reader.close(),
    };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

async function* entriesOf(
  reader: TopicReader,
  stretch: PartitionBounds,
  signal: AbortSignal,
): AsyncGenerator<readonly LogEntry[]> {
  for await (const records of reader.read(stretch, signal)) {
    yield records.map((record) => {
      const read = readRecord(record);
      return "event" in read
        ? { offset: record.offset, event: read.event }
        : { offset: record.offset };
    });
  }
}

async function archiveSource(config: Config, id: string): Promise<LogSource> {
  const archive = config.exporters.get(id);
  if (archive === undefined) throw new CountersignError("BUG", `archive: ${id} is not configured`);
  const { directory, origin } = archive.config as { directory: string; origin: string };
  const view = await openArchiveView({ directory, origin });
  return {
    name: origin,
    bounds: [{ partition: 0, first: 0n, end: view.size }],
    // Its order is that of arrival, and nothing says when that was.
    firstAt: () => Promise.resolve(new Map([[0, 0n]])),
    async *read({ first, end }, signal) {
      for (let at = first; at < end;) {
        signal.throwIfAborted();
        const found = await view.read(at, Math.min(ARCHIVE_READ, Number(end - at)));
        if (found.length === 0) return;
        yield found.map(({ position, event }) => ({ offset: position, event }));
        at += BigInt(found.length);
      }
    },
    close: () => Promise.resolve(),
  };
}
