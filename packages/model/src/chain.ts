import { sha256Hex } from "./canonical.ts";
import type { Chain } from "./event.ts";
import { GENESIS, type SealedEvent } from "./seal.ts";

/** What a look along a chain found. `seq` is that of the event where it broke. */
export type ChainResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly seq: number; readonly problem: string };

/** The event before the first one to verify. */
export interface ChainAnchor {
  readonly seq: number;
  readonly hash: string;
}

/**
 * Verifies the events of one epoch, in order: every hash is made again from the bytes, numbers have no gap, and each event
 * names the hash of the one before. Starts at the beginning of the epoch, or after `anchor`.
 */
export function verifyChain(events: Iterable<SealedEvent>, anchor?: ChainAnchor): ChainResult {
  let seq = anchor?.seq ?? -1;
  let hash = anchor?.hash ?? GENESIS;
  let first: Chain | undefined;
  for (const sealed of events) {
    const { chain } = sealed.event.data as { chain?: Chain };
    const broken = (problem: string): ChainResult => ({ ok: false, seq: seq + 1, problem });
    if (chain === undefined) return broken("the event has no chain");
    first ??= chain;
    if (chain.epoch !== first.epoch || chain.emitter !== first.emitter) {
      return broken("another epoch or emitter");
    }
    if (chain.seq !== seq + 1) return broken(`seq is ${chain.seq}, expected ${seq + 1}`);
    if (chain.prev !== hash) return broken("prev is not the hash of the event before");
    if (sha256Hex(sealed.bytes) !== sealed.hash) return broken("hash is not that of the bytes");
    seq = chain.seq;
    hash = sealed.hash;
  }
  return { ok: true };
}
