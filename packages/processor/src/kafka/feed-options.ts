// What a feed is made of, and what it says of itself.
import type { KafkaFault } from "./kafka-fault.ts";
import type { Planned } from "./rereads.ts";
import type { Connection } from "./settings.ts";

/** What a feed needs. */
export interface FeedOptions {
  /** Id of the receiver, for messages. */
  readonly id: string;
  readonly connection: Connection;
  readonly topic: string;
  readonly group: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** Of a partition, read again for a {@link Rereading}: the newest so many. */
  readonly maxRereadRecords: number;
  /** Something happened that somebody may want to see. */
  note(event: FeedEvent): void;
}

/** What happens to a feed. */
export type FeedEvent =
  | { readonly kind: "joined"; readonly partitions: readonly number[] }
  | { readonly kind: "lost"; readonly fault: KafkaFault }
  | ({ readonly kind: "rereads" } & Planned)
  | { readonly kind: "has_reread"; readonly partition: number }
  | { readonly kind: "unplaced"; readonly fault: KafkaFault }
  | { readonly kind: "skipped"; readonly partition: number; readonly offsets: bigint }
  | { readonly kind: "uncommitted"; readonly partition: number; readonly fault: KafkaFault }
  | { readonly kind: "handed_back"; readonly partition: number; readonly error: unknown }
  | { readonly kind: "halted"; readonly partition: number; readonly error: Error };
