import { CountersignError, errorCode, type SealedEvent } from "@countersign/model";
import type { Consumer, Decisions, Origin } from "./consumer.ts";

/** One item that will never be accepted, and why: for the dead-letter exporter, or for quarantine. */
export interface Letter {
  /** A constant of the component, `hash_mismatch`. */
  readonly reason: string;
  /** Id of the component that refused. */
  readonly component: string;
  readonly timeMs: number;
  /** Where it is wrong: a path, never a value. */
  readonly detail?: string;
  /** SHA-256 of the original bytes, lower-case hex. */
  readonly hash?: string;
  readonly size?: number;
  /** The original; absent when it must not be kept there. */
  readonly bytes?: Uint8Array;
  /** For items that are only counted. */
  readonly count?: number;
  /** The event that `bytes` are of, where it was one: its log knows more of it (key, place). */
  readonly event?: SealedEvent;
  /** Where the item stood in a log. */
  readonly place?: { readonly log: string; readonly partition: number; readonly offset: bigint };
  /** The exporter that refused. */
  readonly sink?: string;
  /** How often it was tried. */
  readonly attempts?: number;
}

/** Keeps letters. */
export interface LetterBox {
  /** Resolves when the letters are durable. Rejects UNAVAILABLE when they cannot be: then nobody may go on. */
  deposit(letters: readonly Letter[], signal: AbortSignal): Promise<void>;
}

/** Longest `detail`: the message of a rejection, which never carries payload. */
const MAX_DETAIL = 256;

/**
 * Stands before an exporter: what it rejects for good (REJECTED, INPUT_INVALID) becomes a letter, and the batch is done.
 * When the letter cannot be written the rejected events fail for now: a permanent rejection is never skipped.
 */
export function deadLettering(
  next: Consumer<Decisions>,
  component: string,
  box: LetterBox,
): Consumer<Decisions> {
  const failures = new WeakMap<SealedEvent, number>();
  const failed = (event: SealedEvent): number => {
    const times = (failures.get(event) ?? 0) + 1;
    failures.set(event, times);
    return times;
  };
  return {
    async consume(batch, signal) {
      try {
        await next.consume(batch, signal);
      } catch (error) {
        const code = errorCode(error);
        if (code !== "REJECTED" && code !== "INPUT_INVALID") {
          for (const event of batch.events) failed(event);
          throw error;
        }
        await depositFailed(batch, error as CountersignError, { component, box, failed, signal });
      }
    },
  };
}

async function depositFailed(
  batch: Decisions,
  error: CountersignError,
  to: {
    component: string;
    box: LetterBox;
    failed: (event: SealedEvent) => number;
    signal: AbortSignal;
  },
): Promise<void> {
  const failed = error.failed ?? [...batch.events.keys()];
  const letters: Letter[] = [];
  for (const [nth, index] of failed.entries()) {
    const event = batch.events[index];
    if (event === undefined) continue;
    const place = placeOf(event, batch.origin);
    letters.push({
      reason: error.reasons?.[nth] ?? error.code.toLowerCase(),
      component: to.component,
      timeMs: Date.now(),
      detail: error.message.slice(0, MAX_DETAIL),
      hash: event.hash,
      size: event.bytes.length,
      bytes: event.bytes,
      event,
      sink: to.component,
      attempts: to.failed(event),
      ...(place === undefined ? {} : { place }),
    });
  }
  try {
    await to.box.deposit(letters, to.signal);
  } catch (cause) {
    throw unkept(cause, failed);
  }
}

/** Only what has no letter yet comes again: the sink has the others, and they are counted. */
function unkept(cause: unknown, failed: readonly number[]): unknown {
  const code = errorCode(cause);
  if (code !== "UNAVAILABLE" && code !== "OVERLOADED") return cause;
  const { message, retryAfterMs } = cause as CountersignError;
  return new CountersignError(code, message, {
    cause,
    failed,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function placeOf(event: SealedEvent, origin: Origin | undefined): Letter["place"] {
  const offset = origin?.offsetOf?.(event);
  if (origin === undefined || offset === undefined) return undefined;
  return { log: origin.log, partition: origin.partition, offset };
}
