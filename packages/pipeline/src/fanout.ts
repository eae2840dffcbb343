import { errorCode } from "@countersign/model";
import type { Consumer } from "./consumer.ts";
import { isTransient } from "./retry.ts";

/**
 * Hands every batch to all consumers at once. Resolves when each of them took it. Otherwise it rejects with the failure that
 * asks for a retry, if there is one: a batch that is refused here and only late there must come again.
 */
export function fanout<Batch>(consumers: readonly Consumer<Batch>[]): Consumer<Batch> {
  const [only] = consumers;
  if (consumers.length === 1 && only !== undefined) return only;
  return {
    async consume(batch, signal) {
      const settled = await Promise.allSettled(
        consumers.map((consumer) => consumer.consume(batch, signal)),
      );
      const errors = settled.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
      if (errors.length === 0) return;
      throw (
        errors.find(isTransient) ?? errors.find((e) => errorCode(e) !== "CANCELLED") ?? errors[0]
      );
    },
  };
}
