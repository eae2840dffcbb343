import { CONNECTOR_SOURCE_PREFIX, kindOf, type SealedEvent } from "@countersign/model";

/**
 * What makes an event one event in the log: its place in its emitter's chain, and the hash that stands there. An event that a
 * processor made has no chain: it is one by source and id, and its hour and time say where to look for it.
 */
export interface EventKey {
  /** `<emitter>/<epoch>`. Neither can hold a slash. Without a chain `<source>/<hour>`. */
  readonly epoch: string;
  readonly seq: number;
  readonly hash: string;
  /** Of events without a chain. */
  readonly id?: string;
}

const HOUR_MS = 3_600_000;

/**
 * The key of an event, or undefined when it has no place in a chain and no processor made it. A `withheld` event stands at the place of the
 * event it replaces, with that event's hash: so it is stored once however often intake meets the original again, and
 * the original can never follow it in.
 */
export function keyOf(sealed: SealedEvent): EventKey | undefined {
  const data = sealed.event.data as {
    chain?: { emitter: string; epoch: string; seq: number };
    of?: { emitter: string; epoch: string; seq: number; hash: string };
  };
  const { chain, of } = data;
  const { event } = sealed;
  if (chain !== undefined) {
    return { epoch: `${chain.emitter}/${chain.epoch}`, seq: chain.seq, hash: sealed.hash };
  }
  if (of !== undefined && kindOf(event.type) === "withheld") {
    return { epoch: `${of.emitter}/${of.epoch}`, seq: of.seq, hash: of.hash };
  }
  const timeMs = Date.parse(event.time);
  if (!event.source.startsWith(CONNECTOR_SOURCE_PREFIX) || !(timeMs >= 0)) return undefined;
  const epoch = `${event.source}/${Math.floor(timeMs / HOUR_MS)}`;
  return { epoch, seq: timeMs, hash: sealed.hash, id: event.id };
}
