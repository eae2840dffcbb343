// Requests until each event of a batch is taken, refused, or has to wait.
import { errorCode } from "@countersign/model";
import type { Outcome } from "./outcome.ts";

/** What an exporter sends has its place in the batch. */
export interface Placed {
  readonly index: number;
}

/** What a destination said to one request. Who throws says that all of it has to wait; by REJECTED, that something in it is refused for good. */
export type Verdict =
  | { readonly kind: "taken" }
  /** Something in it is refused for good; `at` is which, if that is known. */
  | { readonly kind: "refused"; readonly reason: string; readonly at?: number | undefined }
  | { readonly kind: "too_large" };

/**
 * Sends requests one after the other. What is refused is taken out, by halves where nobody says which it is, and the rest goes again at
 * once, before what comes after it; a failure for now is one of all that has not gone yet. Rejects only when stopped.
 */
export async function deliver<Event extends Placed>(
  requests: readonly Event[][],
  outcome: Outcome,
  send: (events: Event[]) => Promise<Verdict>,
): Promise<void> {
  const waiting = [...requests];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    try {
      const verdict = await send(next);
      if (verdict.kind !== "taken") waiting.unshift(...withoutRefused(next, verdict, outcome));
    } catch (error) {
      const isRefused = errorCode(error) === "REJECTED";
      if (isRefused && next.length > 1) waiting.unshift(...halves(next));
      else if (isRefused) outcome.fail(indexesOf([next]), error);
      // What comes after it would fail the same way.
      else outcome.fail(indexesOf([next, ...waiting.splice(0)]), error);
    }
  }
}

/** Places of all events of some requests. */
export function indexesOf(requests: readonly (readonly Placed[])[]): number[] {
  return requests.flat().map(({ index }) => index);
}

function withoutRefused<Event extends Placed>(
  events: Event[],
  verdict: Exclude<Verdict, { kind: "taken" }>,
  outcome: Outcome,
): Event[][] {
  const reason = verdict.kind === "refused" ? verdict.reason : "too_large";
  const at = verdict.kind === "refused" ? verdict.at : undefined;
  const named = at === undefined ? undefined : events[at];
  const guilty = named ?? (events.length === 1 ? events[0] : undefined);
  if (guilty !== undefined) {
    outcome.refuse(guilty.index, reason);
    const rest = events.filter((event) => event !== guilty);
    return rest.length === 0 ? [] : [rest];
  }
  return halves(events);
}

function halves<Event>(events: readonly Event[]): Event[][] {
  const half = Math.ceil(events.length / 2);
  return [events.slice(0, half), events.slice(half)];
}

/** Events of several requests: at most `maxBytes` and `maxEvents` in each, but never none. */
export function cutRequests<Event>(
  events: readonly Event[],
  limits: { maxBytes: number; maxEvents: number; sizeOf: (event: Event) => number },
): Event[][] {
  const { maxBytes, maxEvents, sizeOf } = limits;
  const requests: Event[][] = [];
  let current: Event[] = [];
  let size = 0;
  for (const event of events) {
    const more = sizeOf(event);
    if (current.length > 0 && (size + more > maxBytes || current.length === maxEvents)) {
      requests.push(current);
      current = [];
      size = 0;
    }
    current.push(event);
    size += more;
  }
  if (current.length > 0) requests.push(current);
  return requests;
}
