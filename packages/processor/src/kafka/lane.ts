// One partition, written to by one batch at a time. Lanes share nothing, so each fails alone.
import { CountersignError } from "@countersign/model";
import { type FaultKind, faultOf, kafkaError } from "./kafka-fault.ts";
import type { PartitionProducer, SendResult } from "./kafkajs-producer.ts";
import type { LogRecord } from "./port.ts";

/** What a lane needs. */
export interface LaneOptions {
  /** Id of the client, for messages. */
  readonly id: string;
  readonly topic: string;
  readonly partition: number;
  /** Largest request; the topic's max.message.bytes is a bound too. */
  readonly maxBatchBytes: number;
  /** Bytes that may wait; more is refused. */
  readonly maxWaitingBytes: number;
  open(): Promise<PartitionProducer>;
}

/** Writes to one partition, in order. */
export interface Lane {
  append(records: readonly LogRecord[], deadlineMs: number): Promise<{ baseOffset: bigint }>;
  /** Opens the producer, so that a fault shows early. */
  prepare(deadlineMs: number): Promise<void>;
  close(deadline: AbortSignal): Promise<void>;
}

interface Waiter {
  readonly records: readonly LogRecord[];
  readonly bytes: number;
  /** By performance.now(). */
  readonly deadlineAt: number;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (stored: { baseOffset: bigint }) => void;
  readonly reject: (error: unknown) => void;
}

/** Consecutive records, and where the first is now, or why all of them are nowhere. */
interface Piece {
  readonly count: number;
  readonly fate: bigint | CountersignError;
}

/** Faults that one record brings upon all that it is sent with. */
const REFUSED: ReadonlySet<FaultKind> = new Set(["rejected", "too_large"]);
const MAX_BATCH_RECORDS = 4096;
/** What a record costs beside its key, value and headers. */
const RECORD_OVERHEAD = 32;

/** Makes a lane. It connects with its first append. */
export function createLane(options: LaneOptions): Lane {
  return new SerialLane(options);
}

class SerialLane implements Lane {
  readonly #options: LaneOptions;
  readonly #waiting: Waiter[] = [];
  #waitingBytes = 0;
  #producer: PartitionProducer | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  append(records: readonly LogRecord[], deadlineMs: number): Promise<{ baseOffset: bigint }> {
    const { id, maxWaitingBytes } = this.#options;
    const bytes = records.reduce((sum, record) => sum + sizeOf(record), 0);
    if (this.#closed) return Promise.reject(new CountersignError("UNAVAILABLE", `${id}: stopped`));
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > maxWaitingBytes) {
      return Promise.reject(
        new CountersignError("OVERLOADED", `${id}: too much waits for ${this.#where()}`, {
          retryAfterMs: 1000,
        }),
      );
    }
    return new Promise((resolve, reject) => {
      const deadlineAt = performance.now() + deadlineMs;
      const timer = setTimeout(() => this.#expire(waiter, deadlineMs), deadlineMs);
      const waiter: Waiter = { records, bytes, deadlineAt, timer, resolve, reject };
      this.#waiting.push(waiter);
      this.#waitingBytes += bytes;
      this.#running ??= this.#run();
    });
  }

  async prepare(deadlineMs: number): Promise<void> {
    try {
      await this.#opened(performance.now() + deadlineMs);
    } catch (error) {
      throw this.#error(error);
    }
  }

  async close(deadline: AbortSignal): Promise<void> {
    this.#closed = true;
    const cut = (): void => this.#discard();
    if (deadline.aborted) cut();
    deadline.addEventListener("abort", cut, { once: true });
    await this.#running;
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.close().catch(() => producer.sever());
    deadline.removeEventListener("abort", cut);
  }

  #where(): string {
    return `${this.#options.topic}/${this.#options.partition}`;
  }

  /** Told off in time, whatever the library does. What is on its way may still be stored: the outcome is unknown. */
  #expire(waiter: Waiter, deadlineMs: number): void {
    const at = this.#waiting.indexOf(waiter);
    if (at >= 0) this.#waiting.splice(at, 1);
    if (at >= 0) this.#waitingBytes -= waiter.bytes;
    const text = `${this.#options.id}: no acknowledgement for ${this.#where()} within ${deadlineMs} ms`;
    waiter.reject(new CountersignError("UNAVAILABLE", text));
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#take();
      const pieces = await this.#store(
        group.flatMap(({ records }) => records),
        Math.max(...group.map(({ deadlineAt }) => deadlineAt)),
      );
      let at = 0;
      for (const waiter of group) {
        settle(waiter, at, pieces);
        at += waiter.records.length;
      }
    }
    this.#running = undefined;
  }

  /** What waits goes out together, as far as it fits: the longer a request takes, the more the next one carries. */
  #take(): Waiter[] {
    const group: Waiter[] = [];
    let bytes = 0;
    let records = 0;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      bytes += next.bytes;
      records += next.records.length;
      const fits = bytes <= this.#options.maxBatchBytes && records <= MAX_BATCH_RECORDS;
      if (group.length > 0 && !fits) break;
      this.#waiting.shift();
      this.#waitingBytes -= next.bytes;
      group.push(next);
    }
    return group;
  }

  /** Never rejects: every record has its fate. */
  async #store(records: readonly LogRecord[], deadlineAt: number): Promise<readonly Piece[]> {
    const count = records.length;
    try {
      return [{ count, fate: await this.#sendAgainAfterSequenceFault(records, deadlineAt) }];
    } catch (error) {
      const half = Math.ceil(count / 2);
      if (half === count || !REFUSED.has(faultOf(error).kind))
        return [{ count, fate: this.#error(error) }];
      const first = await this.#store(records.slice(0, half), deadlineAt);
      // What has to wait keeps its place before what comes after it.
      const waits = first.map(({ fate }) => fate).find(isForNow);
      if (waits !== undefined) return [...first, { count: count - half, fate: waits }];
      return [...first, ...(await this.#store(records.slice(half), deadlineAt))];
    }
  }

  /** A broker that lost track of the producer stored nothing: the same records go out at once, from a new one. */
  async #sendAgainAfterSequenceFault(
    records: readonly LogRecord[],
    deadlineAt: number,
  ): Promise<bigint> {
    try {
      return await this.#send(records, deadlineAt);
    } catch (error) {
      if (faultOf(error).kind !== "sequence") throw error;
      return await this.#send(records, deadlineAt);
    }
  }

  /**
   * After any failure the producer is thrown away. The library would give the same sequence numbers to the next batch; if the
   * failed one was stored after all, the broker would take the next for its repetition: acknowledged, and lost.
   */
  async #send(records: readonly LogRecord[], deadlineAt: number): Promise<bigint> {
    try {
      const producer = await this.#opened(deadlineAt);
      const results = await withinTime(producer.send(records), deadlineAt);
      return this.#confirmed(results);
    } catch (error) {
      this.#discard();
      throw error;
    }
  }

  async #opened(deadlineAt: number): Promise<PartitionProducer> {
    if (this.#producer !== undefined) return this.#producer;
    const opening = this.#options.open();
    try {
      this.#producer = await withinTime(opening, deadlineAt);
    } catch (error) {
      // It may still come: nobody wants it then.
      void opening.then((late) => late.sever()).catch(() => undefined);
      throw error;
    }
    return this.#producer;
  }

  /** The library has resolved for records that it never sent. Stored is only what the broker's answer names. */
  #confirmed(results: readonly SendResult[]): bigint {
    const { topic, partition } = this.#options;
    const [result] = results;
    const complete =
      results.length === 1 &&
      result?.topicName === topic &&
      result.partition === partition &&
      result.errorCode === 0;
    if (!complete) throw new Error("the answer does not cover the partition");
    return BigInt(result.baseOffset ?? -1);
  }

  #discard(): void {
    this.#producer?.sever();
    this.#producer = undefined;
  }

  #error(error: unknown): CountersignError {
    if (error instanceof CountersignError) return error;
    return kafkaError(this.#options.id, `cannot write to ${this.#where()}`, error);
  }
}

function isForNow(fate: Piece["fate"]): fate is CountersignError {
  return typeof fate !== "bigint" && fate.code !== "REJECTED";
}

/** Tells a waiter, whose records begin at `start` of what was sent. */
function settle(waiter: Waiter, start: number, pieces: readonly Piece[]): void {
  clearTimeout(waiter.timer);
  const end = start + waiter.records.length;
  const failed: number[] = [];
  const errors: CountersignError[] = [];
  let baseOffset = -1n;
  let begin = 0;
  for (const { count, fate } of pieces) {
    const [from, to] = [Math.max(begin, start), Math.min(begin + count, end)];
    if (from < to && typeof fate !== "bigint") {
      errors.push(fate);
      for (let at = from; at < to; at += 1) failed.push(at - start);
    } else if (from < to && from === start) baseOffset = (fate as bigint) + BigInt(from - begin);
    begin += count;
  }
  if (failed.length === 0) {
    waiter.resolve({ baseOffset });
    return;
  }
  // A fault for now wins over one for good: the whole rest comes again, and what is bad then stays alone.
  const error = errors.find(({ code }) => code !== "REJECTED") ?? errors[0];
  if (error === undefined) return;
  const { retryAfterMs } = error;
  waiter.reject(
    new CountersignError(error.code, error.message, {
      cause: error.cause,
      failed,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    }),
  );
}

function sizeOf({ key, value, headers }: LogRecord): number {
  let bytes = RECORD_OVERHEAD + (key?.length ?? 0) + (value?.length ?? 0);
  for (const [name, text] of headers) bytes += name.length + text.length + 4;
  return bytes;
}

async function withinTime<Value>(promise: Promise<Value>, deadlineAt: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const leftMs = Math.max(0, deadlineAt - performance.now());
    timer = setTimeout(() => reject(new Error("no answer in time")), leftMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
