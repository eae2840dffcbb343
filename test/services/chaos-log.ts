// What must hold of a log, and of what was made of it, after everything that can happen to a cluster. Read from the files
// of the brokers and of the sink: no Kafka client, and none of our code that writes them, has a say in it.
import { hash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { merkleRoot, type Receipt } from "@countersign/pipeline";
import { recordsOnDisk } from "./kafka-segments.ts";

/** An event as a broker has it on disk. */
export interface StoredEvent {
  readonly offset: bigint;
  readonly key: string;
  readonly bytes: Buffer;
  /** SHA-256 of `bytes`, made here. */
  readonly hash: string;
  /** What its header `cs_hash` says. */
  readonly named: string;
}

/** The events of each partition, in the order of the log. */
export type StoredLog = readonly (readonly StoredEvent[])[];

const sha256 = (bytes: Uint8Array): string => hash("sha256", bytes, "hex");

/** Everything that one broker has of a topic. */
export function storedLog(directory: string, topic: string, partitions: number): StoredLog {
  return Array.from({ length: partitions }, (_, partition) =>
    recordsOnDisk(directory, topic, partition).map(({ offset, key, value, headers }) => {
      const bytes = value ?? Buffer.alloc(0);
      const named = headers.get("cs_hash") ?? "";
      return { offset, key: String(key), bytes, hash: sha256(bytes), named };
    }),
  );
}

/** Distinct events of a log, by hash. */
export function distinct(log: StoredLog): ReadonlySet<string> {
  return new Set(log.flatMap((events) => events.map((event) => event.hash)));
}

/** One line for a whole log: equal for two brokers that have the same events at the same offsets. */
export function fingerprint(log: StoredLog): string {
  const lines = log.flatMap((events, partition) =>
    events.map((event) => `${partition}/${event.offset}/${event.hash}`),
  );
  return sha256(Buffer.from(lines.join("\n")));
}

/** Where an emitter's chain goes on. */
interface Tip {
  readonly seq: number;
  readonly hash: string;
  readonly partition: number;
}

/**
 * Events that are not what their header says, not under their emitter's key, in two partitions, or, where each is first
 * seen, not the one after the one before: its number and the hash that it names. A repetition is no fault.
 */
export function chainFaults(log: StoredLog): string[] {
  const tips = new Map<string, Tip>();
  const faults: string[] = [];
  for (const [partition, events] of log.entries()) {
    for (const { offset, bytes, hash: own, named, key } of events) {
      const { chain } = (JSON.parse(String(bytes)) as Chained).data;
      const id = `${chain.emitter}/${chain.epoch}`;
      const tip = tips.get(id) ?? { seq: -1, hash: "0".repeat(64), partition };
      const isNext = chain.seq === tip.seq + 1 && chain.prev === tip.hash;
      const isRepeated = chain.seq <= tip.seq;
      if (isNext) tips.set(id, { seq: chain.seq, hash: own, partition });
      if (
        own !== named ||
        key !== `acme/${chain.emitter}` ||
        partition !== tip.partition ||
        !(isNext || isRepeated)
      )
        faults.push(`${partition}/${offset}: ${id}/${chain.seq} after ${tip.seq}`);
    }
  }
  return faults;
}

interface Chained {
  readonly data: {
    readonly chain: {
      readonly emitter: string;
      readonly epoch: string;
      readonly seq: number;
      readonly prev: string;
    };
  };
}

/** Everything that was kept as a receipt. */
export function storedReceipts(directory: string, topic: string): readonly Receipt[] {
  return recordsOnDisk(directory, topic, 0).map(
    ({ value }) => JSON.parse(String(value)) as Receipt,
  );
}

/** Offsets that no receipt of the sink covers, and receipts that do not say what is in their range. */
export function receiptFaults(
  receipts: readonly Receipt[],
  log: StoredLog,
  sink: string,
): readonly string[] {
  return log.flatMap((events, partition) => {
    const index = new Map(events.map(({ offset }, at) => [offset, at]));
    const covered = new Uint8Array(events.length);
    const faults: string[] = [];
    for (const receipt of receipts.filter((one) => one.partition === partition)) {
      const first = index.get(BigInt(receipt.firstOffset)) ?? -1;
      const last = index.get(BigInt(receipt.lastOffset)) ?? -1;
      const range = first < 0 ? [] : events.slice(first, last + 1);
      covered.fill(1, first, last + 1);
      const { events: count, delivered, filtered, deadLettered, root } = receipt;
      const isRight =
        first >= 0 &&
        last >= first &&
        receipt.sink === sink &&
        count === range.length &&
        delivered === count &&
        filtered + deadLettered === 0 &&
        root === merkleRoot(range.map(({ bytes }) => bytes));
      if (!isRight) faults.push(`${partition}: ${receipt.firstOffset} to ${receipt.lastOffset}`);
    }
    const bare = events.filter((_, at) => covered[at] === 0);
    return [...faults, ...bare.map(({ offset }) => `${partition}: ${offset} has no receipt`)];
  });
}

/** What a sink of native lines has. The SHA-256 of a line is the hash of its event. */
export interface Deliveries {
  readonly hashes: ReadonlySet<string>;
  /** Reads what has come since. A line that is being written waits for its end. */
  read(): Deliveries;
  /** Lines, repetitions included. */
  readonly lines: number;
}

/** Follows the files of these directories. */
export function followLines(directories: () => readonly string[]): Deliveries {
  const hashes = new Set<string>();
  const positions = new Map<string, number>();
  let lines = 0;
  const readFile = (path: string): void => {
    const bytes = readFileSync(path);
    let from = positions.get(path) ?? 0;
    for (let end = bytes.indexOf(10, from); end >= 0; end = bytes.indexOf(10, from)) {
      hashes.add(sha256(bytes.subarray(from, end)));
      lines += 1;
      from = end + 1;
    }
    positions.set(path, from);
  };
  const deliveries: Deliveries = {
    hashes,
    read: () => {
      for (const directory of directories()) {
        if (!existsSync(directory)) continue;
        for (const file of readdirSync(directory)) readFile(join(directory, file));
      }
      return deliveries;
    },
    get lines() {
      return lines;
    },
  };
  return deliveries;
}
