import { GENESIS } from "@countersign/model";
import { keyOf } from "./event-key.ts";
import type { IndexStore } from "./index-store.ts";
import type { ArchiveLog, PositionedEvent } from "./log.ts";

/**
 * What stands next to an event in its chain. `verified`: it is there, and its bytes were hashed just now and match.
 * `withheld`: it was quarantined, and the hash left in its place matches. `broken`: it is there and does not match.
 * `missing`: nothing stands there (after the newest event, that is no fault). `first`: the chain begins here, as it says.
 */
export type LinkState = "verified" | "withheld" | "broken" | "missing" | "first";

/** A neighbour in the chain. */
export interface ChainLink {
  readonly state: LinkState;
  readonly position?: number;
  readonly kind?: string;
}

/** Where an event stands in its emitter's chain, and whether its neighbours hold on to it. */
export interface ChainView {
  readonly emitter: string;
  readonly epoch: string;
  readonly seq: number;
  readonly prev: string;
  readonly before: ChainLink;
  readonly after: ChainLink;
}

/** Reads the neighbours from the log and compares hashes. Undefined for an event without a chain. */
export async function viewChain(
  store: IndexStore,
  log: ArchiveLog,
  { event: sealed }: PositionedEvent,
): Promise<ChainView | undefined> {
  const chain = "chain" in sealed.event.data ? sealed.event.data.chain : undefined;
  if (chain === undefined) return undefined;
  const key = `${chain.emitter}/${chain.epoch}`;
  const before = await neighbour(store, log, key, chain.seq - 1);
  const after = await neighbour(store, log, key, chain.seq + 1);
  return {
    ...chain,
    before: chain.seq === 0 ? firstLink(chain.prev) : link(before, before?.hash === chain.prev),
    after: link(after, after?.prev === undefined || after.prev === sealed.hash),
  };
}

interface Neighbour {
  readonly position: number;
  readonly kind: string;
  /** Hash of the event that stands, or stood, there. */
  readonly hash: string;
  /** What it says of the event before it; a withheld one says nothing any more. */
  readonly prev?: string;
}

async function neighbour(
  store: IndexStore,
  log: ArchiveLog,
  epoch: string,
  seq: number,
): Promise<Neighbour | undefined> {
  const found = store
    .statement(
      "SELECT position, kind FROM events WHERE epoch = ? AND seq = ? ORDER BY position LIMIT 1",
    )
    .get(epoch, seq);
  if (found === undefined) return undefined;
  const position = Number(found["position"]);
  const [stored] = await log.read(BigInt(position), 1);
  const key = stored && keyOf(stored.event);
  // The index is derived; what counts is what the log has at that position.
  if (stored === undefined || key?.epoch !== epoch || key.seq !== seq) return undefined;
  const { data } = stored.event.event;
  const prev = "chain" in data ? data.chain?.prev : undefined;
  const at = { position, kind: String(found["kind"]), hash: key.hash };
  return prev === undefined ? at : { ...at, prev };
}

function firstLink(prev: string): ChainLink {
  return { state: prev === GENESIS ? "first" : "broken" };
}

function link(at: Neighbour | undefined, matches: boolean): ChainLink {
  if (at === undefined) return { state: "missing" };
  const state = !matches ? "broken" : at.prev === undefined ? "withheld" : "verified";
  return { state, position: at.position, kind: at.kind };
}
