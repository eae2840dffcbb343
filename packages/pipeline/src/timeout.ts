import { CountersignError } from "@countersign/model";
import type { Consumer } from "./consumer.ts";

/**
 * Gives `next` a limited time. Over it, its signal aborts and the batch fails UNAVAILABLE: the outcome is unknown, so the
 * batch may arrive twice.
 */
export function withTimeout<Batch>(
  next: Consumer<Batch>,
  options: { readonly id: string; readonly timeoutMs: number },
): Consumer<Batch> {
  const { id, timeoutMs } = options;
  return {
    async consume(batch, signal) {
      const timer = AbortSignal.timeout(timeoutMs);
      try {
        await next.consume(batch, AbortSignal.any([signal, timer]));
      } catch (error) {
        if (!timer.aborted || signal.aborted) throw error;
        throw new CountersignError("UNAVAILABLE", `${id}: no answer within ${timeoutMs} ms`, {
          cause: error,
        });
      }
    },
  };
}
