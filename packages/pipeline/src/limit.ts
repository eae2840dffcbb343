import { CountersignError } from "@countersign/model";
import type { Consumer } from "./consumer.ts";

/** Hands on `concurrency` batches at the same time; others wait, in order. Who calls bounds how many do. */
export function limitConcurrency<Batch>(
  next: Consumer<Batch>,
  { id, concurrency }: { readonly id: string; readonly concurrency: number },
): Consumer<Batch> {
  const waiting: (() => void)[] = [];
  let active = 0;
  const turn = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const cancel = (): void => {
        waiting.splice(waiting.indexOf(go), 1);
        reject(new CountersignError("CANCELLED", `${id}: stopped while it waited to be sent`));
      };
      const go = (): void => {
        signal.removeEventListener("abort", cancel);
        resolve();
      };
      waiting.push(go);
      signal.addEventListener("abort", cancel, { once: true });
    });
  return {
    async consume(batch, signal) {
      // Who waited was handed the place of who ended, so that nobody takes it in between.
      if (active < concurrency) active += 1;
      else await turn(signal);
      try {
        await next.consume(batch, signal);
      } finally {
        const first = waiting.shift();
        if (first === undefined) active -= 1;
        else first();
      }
    },
  };
}
