// A small life of a journal on a faulty disk, and what must be true afterwards whatever the disk did.
import { verifyChain } from "@countersign/model";
import { createFaultyFs, type FaultyFs } from "./faulty-fs.ts";
import { decision, type Scratch, scratch, soon, startOf } from "./journal-fixture.ts";

/** Errors that a disk gives. */
export const ERRNOS = ["EIO", "ENOSPC", "EACCES", "EROFS", "EMFILE"] as const;

/** What callers were told. */
export interface Life {
  /** Hashes that `append` resolved with, by epoch and number. */
  readonly durable: Map<string, string>;
  readonly refused: number;
}

/** Two journals, one after the other: appends alone, appends together, rolled segments, stops. */
export async function live(s: Scratch, fs: FaultyFs): Promise<Life> {
  const durable = new Map<string, string>();
  let refused = 0;
  for (let round = 0; round < 2; round++) {
    const journal = s.journal({ fs, limits: { segmentBytes: 4_096, reserveBytes: 512 } });
    const append = async (): Promise<void> => {
      try {
        const { event, hash } = await journal.append(decision());
        const { epoch, seq } = (event.data as { chain: { epoch: string; seq: number } }).chain;
        if (durable.has(`${epoch}/${seq}`)) throw new Error(`${epoch}/${seq} was given twice`);
        durable.set(`${epoch}/${seq}`, hash);
      } catch (error) {
        refused += 1;
        journal.counters.auditDenied += 1;
        if ((error as { code?: unknown }).code !== "UNAVAILABLE") throw error;
        // Past the time in which a reopening is refused.
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    for (let n = 0; n < 3; n++) await append();
    await Promise.all(Array.from({ length: 4 }, append));
    for (let n = 0; n < 3; n++) await append();
    await journal.stop("shutdown", soon());
  }
  return { durable, refused };
}

/** What is wrong with the disk after a life; nothing is what a test expects. */
export async function problemsAfter(s: Scratch, life: Life): Promise<string[]> {
  const problems: string[] = [];
  const found = new Map<string, string>();
  const numbers: number[] = [];
  for (const [epoch, events] of await s.stored()) {
    // A number used twice would break the chain of hashes.
    const chain = verifyChain(events);
    if (!chain.ok) problems.push(`${epoch}: ${chain.problem} at ${chain.seq}`);
    for (const [seq, event] of events.entries()) found.set(`${epoch}/${seq}`, event.hash);
    numbers.push(startOf(events).data.epochNumber);
  }
  for (const [key, hash] of life.durable) {
    if (found.get(key) !== hash) problems.push(`${key}: a caller was told it is durable`);
  }
  if (new Set(numbers).size !== numbers.length) problems.push(`epoch numbers ${numbers.join(" ")}`);
  return problems;
}

/** Operations in a life in which nothing fails. */
export async function countCalls(): Promise<number> {
  using s = scratch();
  const fs = createFaultyFs();
  const life = await live(s, fs);
  const problems = await problemsAfter(s, life);
  if (life.refused > 0 || problems.length > 0) throw new Error(problems.join("; "));
  return fs.calls.length;
}
