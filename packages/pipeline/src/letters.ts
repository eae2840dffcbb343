import { CountersignError, errorCode } from "@countersign/model";
import type { Consumer, Decisions } from "./consumer.ts";

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
 * When the letter cannot be written the batch fails: a permanent rejection is never skipped.
 */
export function deadLettering(
  next: Consumer<Decisions>,
  component: string,
  box: LetterBox,
): Consumer<Decisions> {
  return {
    async consume(batch, signal) {
      try {
        await next.consume(batch, signal);
      } catch (error) {
        const code = errorCode(error);
        if (code !== "REJECTED" && code !== "INPUT_INVALID") throw error;
        await depositFailed(batch, error as CountersignError, { component, box, signal });
      }
    },
  };
}

async function depositFailed(
  batch: Decisions,
  error: CountersignError,
  to: { component: string; box: LetterBox; signal: AbortSignal },
): Promise<void> {
  const failed = error.failed ?? batch.events.keys();
  const letters: Letter[] = [];
  for (const index of failed) {
    const event = batch.events[index];
    if (event === undefined) continue;
    letters.push({
      reason: error.code.toLowerCase(),
      component: to.component,
      timeMs: Date.now(),
      detail: error.message.slice(0, MAX_DETAIL),
      hash: event.hash,
      size: event.bytes.length,
      bytes: event.bytes,
    });
  }
  await to.box.deposit(letters, to.signal);
}
