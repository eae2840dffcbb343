// What the processor needs of Kafka, in words of its own: no type of a client library crosses this border.

interface KeyAndValue {
  /** `null` where Kafka has none. */
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
}

/** Name and value; text is written as UTF-8. */
export type Header = readonly [name: string, value: Uint8Array | string];

/** One record, as it is written. */
export interface LogRecord extends KeyAndValue {
  /** In this order. A name may not repeat. */
  readonly headers: readonly Header[];
}

/** Records for one partition, to be stored in this order. */
export interface Append {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly LogRecord[];
}

/** A topic that was found fit for its use. */
export interface TopicFacts {
  readonly partitions: number;
  readonly maxRecordBytes: number;
}

/** Writes. One partition at a time, each with its own fate. */
export interface AuditLog {
  /**
   * Resolves when every record is stored by all replicas that have to have it. Rejects UNAVAILABLE (again later; what was sent
   * may be stored, so it may come twice), OVERLOADED (too much waits), or REJECTED (`failed`: records that will never fit).
   */
  append(append: Append, deadlineMs: number): Promise<{ baseOffset: bigint }>;
  /** Ends the connections. What is under way is finished first, until `deadline` aborts. */
  close(deadline: AbortSignal): Promise<void>;
}

/** One record, as it was read. */
export interface StoredRecord extends KeyAndValue {
  readonly headers: ReadonlyMap<string, Uint8Array>;
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly timestampMs: number;
}

/** Consecutive records of one partition. There may be holes between offsets: what was never committed, or has expired. */
export interface FeedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly StoredRecord[];
  /** The group is past them: read once more for a {@link Rereading}. Nothing of it is committed. */
  readonly again?: true;
}

/** Who has to see records again that the group is past. Asked and told of each partition at each assignment. */
export interface Rereading {
  /** The first offset that is wanted. */
  from(partition: number): bigint;
  /** What was wanted was handed on, as far as it is still there: what comes now is new. */
  complete(partition: number): void;
  /** It is another member's from now on, or nobody's. */
  released(partition: number): void;
}

/**
 * What became of a batch. `done` is the last offset that somebody else is responsible for now: it is committed. With
 * `retryAfterMs` the partition pauses and the rest comes again; with `halt` it stands still until it is assigned anew.
 */
export type Outcome =
  | { readonly done: bigint }
  | { readonly retryAfterMs: number; readonly done?: bigint }
  | { readonly halt: Error; readonly done?: bigint };

/** Takes batches. `signal` aborts when the partition belongs to somebody else, or the feed ends: whatever comes of it is not committed. */
export type FeedHandler = (batch: FeedBatch, signal: AbortSignal) => Promise<Outcome>;

/** Reads one topic as a member of a group: partitions side by side, each in its order. */
export interface AuditFeed {
  /** Resolves when the group knows this member, or after a while without an answer. Rejects when it may not join. */
  start(handler: FeedHandler, rereading?: Rereading): Promise<void>;
  /** Takes nothing new, waits for what is under way, commits, leaves the group. */
  stop(deadline: AbortSignal): Promise<void>;
  /** Records that wait in the partitions of this member. */
  readonly lag: number;
}

/** A partition, or a stretch of one: from `first` to before `end`. */
export interface PartitionBounds {
  readonly partition: number;
  readonly first: bigint;
  readonly end: bigint;
}

/** Reads one topic from given offsets, as nobody's member: it leaves no trace. */
export interface TopicReader {
  readonly topic: string;
  /** What each partition holds now, by number. */
  bounds(): Promise<readonly PartitionBounds[]>;
  /** By partition, the offset of the first record that was produced at that time or later; its end when there is none. */
  firstAt(timestampMs: number): Promise<ReadonlyMap<number, bigint>>;
  /** The records of a stretch, at most about 1 MiB at once, in order. Rejects UNAVAILABLE, or CANCELLED on abort. */
  read(stretch: PartitionBounds, signal: AbortSignal): AsyncIterable<readonly StoredRecord[]>;
  close(): Promise<void>;
}
