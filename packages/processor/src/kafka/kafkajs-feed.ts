// Reading as a member of a group. The library's loop is never held up: a partition whose batch takes longer is paused and the
// loop goes on (heartbeats, rebalances, other partitions); when the batch is done, the partition goes on too.
import { setTimeout as delay } from "node:timers/promises";
import { CountersignError, errorCode } from "@countersign/model";
import type {
  Consumer,
  ConsumerCrashEvent,
  ConsumerGroupJoinEvent,
  EachBatchPayload,
} from "kafkajs";
import type { FeedOptions } from "./feed-options.ts";
import { type KafkaFault, faultOf } from "./kafka-fault.ts";
import { type GroupPlace, groupPlaces } from "./group-places.ts";
import { severableClient } from "./kafkajs-connection.ts";
import { createPartitionWork, type PartitionWork } from "./partition-work.ts";
import type { AuditFeed, FeedHandler, Rereading } from "./port.ts";
import { Rereads } from "./rereads.ts";
import { storedRecords } from "./stored-records.ts";

/** A batch that takes longer than this goes on beside the loop. */
const PATIENCE_MS = 500;
const HEARTBEAT_MS = 3000;
/** How long a start waits to be let into the group. */
const JOIN_MS = 10_000;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
/** Between two questions for the group's positions. */
const PLACES_MS = 1000;

/** Makes a feed by kafkajs. It connects when it is started. */
export function createFeed(options: FeedOptions): AuditFeed {
  return new GroupFeed(options);
}

class GroupFeed implements AuditFeed {
  readonly #options: FeedOptions;
  readonly #works = new Map<number, PartitionWork>();
  /** Of our partitions: the next offset to read, and the one after the newest record. */
  readonly #next = new Map<number, bigint>();
  readonly #ends = new Map<number, bigint>();
  readonly #stopping = new AbortController();
  /** Partitions of this member, and those of them of which nothing is taken until it is known where they begin. */
  #owned: ReadonlySet<number> = new Set();
  readonly #unplaced = new Set<number>();
  #rereads: Rereads | undefined;
  #consumer: Consumer | undefined;
  #living: Promise<void> | undefined;
  #handler: FeedHandler | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  get lag(): number {
    let lag = 0n;
    for (const [partition, end] of this.#ends) lag += end - (this.#next.get(partition) ?? end);
    return Number(lag);
  }

  /** A first answer of the group, good or bad; without one in time the feed goes on trying by itself. */
  async start(handler: FeedHandler, rereading?: Rereading): Promise<void> {
    this.#handler = handler;
    if (rereading !== undefined)
      this.#rereads = new Rereads(rereading, this.#options.maxRereadRecords);
    const first = Promise.withResolvers<void>();
    this.#living = this.#live(first);
    const patience = new AbortController();
    const late = delay(JOIN_MS, undefined, { signal: patience.signal }).catch(() => undefined);
    try {
      await Promise.race([first.promise, late]);
    } finally {
      patience.abort();
    }
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const cut = (): void => this.#abandon();
    if (deadline.aborted) cut();
    deadline.addEventListener("abort", cut, { once: true });
    await Promise.all([...this.#works.values()].map(({ settled }) => settled));
    await this.#living;
    deadline.removeEventListener("abort", cut);
  }

  /** One consumer after another: what crashed is thrown away, sockets and all. The library's own restart gives up silently. */
  async #live(first: PromiseWithResolvers<void>): Promise<void> {
    let backoffMs = FIRST_BACKOFF_MS;
    while (!this.#stopping.signal.aborted) {
      const startedMs = performance.now();
      const fault = await this.#oneLife(() => first.resolve());
      if (fault === undefined) return;
      this.#options.note({ kind: "lost", fault });
      if (fault.kind === "forbidden" || fault.kind === "missing")
        first.reject(this.#refused(fault));
      if (performance.now() - startedMs > MAX_BACKOFF_MS) backoffMs = FIRST_BACKOFF_MS;
      await delay(backoffMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      backoffMs = Math.min(MAX_BACKOFF_MS, backoffMs * 2);
    }
  }

  #refused({ type }: KafkaFault): CountersignError {
    const { id, topic, group } = this.#options;
    return new CountersignError(
      "CONFIG_INVALID",
      `${id}: the user may not read ${topic} as group ${group} (${type}); check user and password, grant Read on the topic and the group`,
    );
  }

  /** Until it crashes (with the fault) or is to stop (with none). */
  async #oneLife(joined: () => void): Promise<KafkaFault | undefined> {
    const { connection, topic, group, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options;
    const { kafka, sever } = severableClient(connection);
    const consumer = kafka.consumer({
      groupId: group,
      allowAutoTopicCreation: false,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      heartbeatInterval: Math.min(HEARTBEAT_MS, sessionTimeoutMs / 3),
      maxBytesPerPartition: 1024 ** 2,
      maxWaitTimeInMs: 500,
      // A partition without a leader is not asked for: this is how long its return may go unseen.
      metadataMaxAge: 10_000,
      retry: {
        retries: 5,
        initialRetryTime: 100,
        maxRetryTime: 1000,
        restartOnFailure: async () => false,
      },
    });
    const crash = Promise.withResolvers<KafkaFault>();
    consumer.on("consumer.crash", (event: ConsumerCrashEvent) =>
      crash.resolve(faultOf(event.payload.error)),
    );
    consumer.on("consumer.group_join", (event) => {
      this.#assigned(event);
      joined();
    });
    this.#consumer = consumer;
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 16,
        eachBatch: (payload) => this.#take(payload),
      });
      return await this.#untilOver(consumer, crash.promise);
    } catch (error) {
      return this.#stopping.signal.aborted ? undefined : faultOf(error);
    } finally {
      this.#abandon();
      this.#own([]);
      this.#consumer = undefined;
      await Promise.race([
        consumer.disconnect().catch(() => undefined),
        delay(JOIN_MS, undefined, { ref: false }),
      ]);
      sever();
    }
  }

  async #untilOver(
    consumer: Consumer,
    crash: Promise<KafkaFault>,
  ): Promise<KafkaFault | undefined> {
    const stop = Promise.withResolvers<undefined>();
    const { signal } = this.#stopping;
    if (signal.aborted) stop.resolve(undefined);
    signal.addEventListener("abort", () => stop.resolve(undefined), { once: true });
    const fault = await Promise.race([crash, stop.promise]);
    if (fault !== undefined) return fault;
    // Nothing new; what is under way is finished and committed while this member still is one.
    consumer.pause([{ topic: this.#options.topic }]);
    const finished = Promise.all([...this.#works.values()].map(({ settled }) => settled));
    await Promise.race([finished, crash]);
    return undefined;
  }

  /** What belongs to somebody else now is given up; what is ours and idle goes on, also if it had been paused before. */
  #assigned({ payload }: ConsumerGroupJoinEvent): void {
    const { topic } = this.#options;
    const partitions = payload.memberAssignment[topic] ?? [];
    for (const [partition, work] of this.#works) {
      if (!partitions.includes(partition)) this.#forget(partition, work);
    }
    this.#next.clear();
    this.#ends.clear();
    this.#own(partitions);
    const idle = partitions.filter((partition) => !this.#works.has(partition));
    if (idle.length > 0 && !this.#stopping.signal.aborted) {
      if (this.#rereads === undefined) this.#resume(idle);
      else void this.#sendBack(idle, this.#rereads);
    }
    this.#options.note({ kind: "joined", partitions });
  }

  #own(partitions: readonly number[]): void {
    const before = this.#owned;
    this.#owned = new Set(partitions);
    this.#unplaced.clear();
    for (const partition of before) {
      if (!this.#owned.has(partition)) this.#rereads?.release(partition);
    }
  }

  #resume(partitions: readonly number[]): void {
    const { topic } = this.#options;
    unlessGone(() => this.#consumer?.resume([{ topic, partitions: [...partitions] }]));
  }

  /** Before anything of a partition is taken: from where is it wanted, and how far is the group? */
  async #sendBack(partitions: readonly number[], rereads: Rereads): Promise<void> {
    const { topic } = this.#options;
    const owned = this.#owned;
    const consumer = this.#consumer;
    for (const partition of partitions) {
      this.#unplaced.add(partition);
      if (consumer !== undefined) this.#pause(consumer, partition);
    }
    const places = await this.#places(() => this.#owned === owned);
    if (places === undefined || consumer === undefined) return;
    for (const partition of partitions) {
      try {
        const place = places.get(partition);
        const planned = place && rereads.plan(partition, place);
        if (planned !== undefined) {
          this.#next.set(partition, planned.until);
          const offset = String(planned.from);
          unlessGone(() => consumer.seek({ topic, partition, offset }));
          this.#options.note({ kind: "rereads", ...planned });
        }
        this.#unplaced.delete(partition);
        this.#resume([partition]);
      } catch (error) {
        // Whoever has the state cannot say what it lacks: to read on would make it wrong.
        this.#options.note({ kind: "halted", partition, error: error as Error });
      }
    }
  }

  /** Asked until there is an answer, or nobody wants it any more. */
  async #places(wanted: () => boolean): Promise<ReadonlyMap<number, GroupPlace> | undefined> {
    const { connection, topic, group } = this.#options;
    while (wanted() && !this.#stopping.signal.aborted) {
      try {
        const places = await groupPlaces(connection, { topic, group });
        return wanted() ? places : undefined;
      } catch (error) {
        this.#options.note({ kind: "unplaced", fault: faultOf(error) });
        await delay(PLACES_MS, undefined, { ref: false });
      }
    }
    return undefined;
  }

  #abandon(): void {
    for (const [partition, work] of this.#works) this.#forget(partition, work);
  }

  #forget(partition: number, work: PartitionWork): void {
    work.abort();
    this.#works.delete(partition);
  }

  /** The library calls it for each partition with new records. It must return soon, and may not throw: that would end the consumer. */
  async #take(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const { partition } = batch;
    const consumer = this.#consumer;
    const handler = this.#handler;
    if (consumer === undefined || handler === undefined || this.#stopping.signal.aborted) return;
    if (this.#works.has(partition) || this.#unplaced.has(partition)) return;
    if (payload.isStale() || !payload.isRunning()) return;
    const records = storedRecords(batch);
    const sorted = this.#rereads?.sort(partition, records) ?? { kind: "new" };
    if (sorted.kind === "elsewhere") {
      const offset = String(sorted.seek);
      unlessGone(() => consumer.seek({ topic: batch.topic, partition, offset }));
      return;
    }
    const again = sorted.kind === "again";
    if (!again) this.#notice(partition, records[0]?.offset);
    this.#ends.set(partition, BigInt(batch.highWatermark));
    const work = createPartitionWork({
      topic: batch.topic,
      partition,
      records: again ? sorted.records : records,
      again,
      handler,
      commit: (offset) => this.#commit(consumer, partition, offset),
    });
    this.#works.set(partition, work);
    const quick = await Promise.race([
      work.settled.then(() => true),
      delay(PATIENCE_MS, false, { ref: false }),
    ]);
    if (quick) {
      if (work.next > work.first) payload.resolveOffset(String(work.next - 1n));
      this.#finish(consumer, work, { paused: false, again });
      return;
    }
    this.#pause(consumer, partition);
    void work.settled.then(() => this.#finish(consumer, work, { paused: true, again }));
  }

  #pause(consumer: Consumer, partition: number): void {
    const { topic } = this.#options;
    unlessGone(() => consumer.pause([{ topic, partitions: [partition] }]));
  }

  /** A finished batch: on with the next, again after a pause, or not at all. */
  #finish(
    consumer: Consumer,
    work: PartitionWork,
    { paused, again }: { readonly paused: boolean; readonly again: boolean },
  ): void {
    const { partition, end } = work;
    if (this.#works.get(partition) !== work || this.#consumer !== consumer) return;
    if (!again) this.#next.set(partition, work.next);
    else if (this.#rereads?.reached(partition, work.next))
      this.#options.note({ kind: "has_reread", partition });
    if (end.kind === "halt") {
      if (!paused) this.#pause(consumer, partition);
      this.#options.note({ kind: "halted", partition, error: end.error });
      return;
    }
    const resume = (): void => {
      if (this.#works.get(partition) !== work || this.#consumer !== consumer) return;
      this.#works.delete(partition);
      if (this.#stopping.signal.aborted) return;
      const { topic } = this.#options;
      unlessGone(() => {
        consumer.seek({ topic, partition, offset: String(work.next) });
        consumer.resume([{ topic, partitions: [partition] }]);
      });
    };
    if (end.kind === "done") {
      if (paused) resume();
      else this.#works.delete(partition);
      return;
    }
    // Pause and return. To throw would end the consumer, and with it every other partition.
    if (!paused) this.#pause(consumer, partition);
    if (end.error !== undefined)
      this.#options.note({ kind: "handed_back", partition, error: end.error });
    void delay(end.retryAfterMs, undefined, { ref: false }).then(resume);
  }

  /** A commit that fails is not the end: the next one covers it; without one, the records come again after a restart. */
  async #commit(consumer: Consumer, partition: number, offset: bigint): Promise<void> {
    const { topic } = this.#options;
    try {
      await consumer.commitOffsets([{ topic, partition, offset: String(offset) }]);
      this.#next.set(partition, offset);
    } catch (error) {
      if (errorCode(error) === "BUG") throw error;
      this.#options.note({ kind: "uncommitted", partition, fault: faultOf(error) });
    }
  }

  /** Offsets that are not there: they expired before they were read, or a foreign transaction left its mark. */
  #notice(partition: number, first: bigint | undefined): void {
    const expected = this.#next.get(partition);
    if (first === undefined) return;
    this.#next.set(partition, first);
    if (expected === undefined || first <= expected) return;
    this.#options.note({ kind: "skipped", partition, offsets: first - expected });
  }
}

/** A consumer on its way out refuses to be told anything; the next one begins at the stored position. */
function unlessGone(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (faultOf(error).type !== "KafkaJSNonRetriableError") throw error;
  }
}
