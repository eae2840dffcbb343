// What became of each event of a batch, when a destination answers for parts of it.
import { CountersignError, errorCode } from "@countersign/model";

/** Collects failures of parts of a batch. Indexes are those of the batch. */
export class Outcome {
  readonly #id: string;
  readonly #refused = new Map<number, string>();
  readonly #waiting = new Set<number>();
  #first: CountersignError | undefined;
  #rejection: CountersignError | undefined;

  /** @param id component id, for the message */
  constructor(id: string) {
    this.#id = id;
  }

  /** Will never be taken. `reason`: a constant of `[a-z0-9_]`, it becomes the dead letter's. */
  refuse(index: number, reason: string): void {
    this.#refused.set(index, reason);
  }

  /** These failed together: for good if the error is REJECTED, else for now. What is none of ours is thrown as it is. */
  fail(indexes: Iterable<number>, error: unknown): void {
    const code = errorCode(error);
    if (code === undefined || code === "BUG" || code === "CANCELLED") throw error;
    const failure = error as CountersignError;
    if (code === "REJECTED" || code === "INPUT_INVALID") {
      this.#rejection ??= failure;
      for (const index of indexes) this.#refused.set(index, "rejected");
      return;
    }
    // The longest wait that was asked for, since all of it is sent again together.
    if (
      (failure.retryAfterMs ?? -1) > (this.#first?.retryAfterMs ?? -1) ||
      this.#first === undefined
    )
      this.#first = failure;
    for (const index of indexes) this.#waiting.add(index);
  }

  /**
   * Throws what the pipeline is to know, if anything failed. Failures for now win and name all that failed: what is refused for good is
   * refused again when the rest is sent again, and stays alone in the end.
   */
  settle(): void {
    const failed = [...new Set([...this.#refused.keys(), ...this.#waiting])].toSorted(
      (a, b) => a - b,
    );
    if (failed.length === 0) return;
    const first = this.#first;
    if (first !== undefined) {
      const { cause, retryAfterMs } = first;
      throw new CountersignError(first.code, first.message, {
        cause,
        failed,
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      });
    }
    throw new CountersignError(
      "REJECTED",
      this.#rejection?.message ??
        `${this.#id}: the destination refuses ${failed.length} events for good`,
      { failed, reasons: failed.map((index) => this.#refused.get(index) as string) },
    );
  }
}
