import type { SealedEvent } from "@countersign/model";

/** What makes an event one event in the log: its place in its emitter's chain, and the hash that stands there. */
export interface EventKey {
  /** `<emitter>/<epoch>`. Neither can hold a slash. */
  readonly epoch: string;
  readonly seq: number;
  readonly hash: string;
}

/**
 * The key of an event, or undefined when it has no place in a chain. A `withheld` event stands at the place of the
 * event it replaces, with that event's hash: so it is stored once however often intake meets the original again, and
 * the original can never follow it in.
 */
export function keyOf(sealed: SealedEvent): EventKey | undefined {
  const data = sealed.event.data as {
    chain?: { emitter: string; epoch: string; seq: number };
    of?: { emitter: string; epoch: string; seq: number; hash: string };
  };
  const { chain, of } = data;
  if (chain !== undefined) {
    return { epoch: `${chain.emitter}/${chain.epoch}`, seq: chain.seq, hash: sealed.hash };
  }
  if (of !== undefined) {
    return { epoch: `${of.emitter}/${of.epoch}`, seq: of.seq, hash: of.hash };
  }
  return undefined;
}
