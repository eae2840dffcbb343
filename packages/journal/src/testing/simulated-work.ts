// What a gate would do with its journal in one life: decisions alone and together, outcomes that nobody waits for, pauses,
// callers that wait for the processor, and a stop, or none.
import { errorCode, type SealedEvent } from "@countersign/model";
import type { Journal } from "../api.ts";
import { decision } from "./journal-fixture.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import type { SimulationLedger } from "./simulation-ledger.ts";

const MAX_ROUNDS = 8;
const MAX_TOGETHER = 8;
/** Refusals that a caller must expect. */
const EXPECTED: ReadonlySet<string | undefined> = new Set(["UNAVAILABLE", "OVERLOADED"]);

/** What a life of work needs. */
export interface SimulatedWork {
  readonly journal: Journal;
  readonly random: Random;
  readonly ledger: SimulationLedger;
  /** Without power nobody is told anything any more. */
  readonly schedule: Schedule;
  /** The last life: an event a minute, so that what others left is drained; no stop. */
  readonly sweeps?: number;
  /** Nothing fails: an append that is refused is a problem. A journal that writes nothing loses nothing. */
  readonly certain?: boolean;
}

/** Works until done, or for ever, if the process goes. */
export async function simulateWork(work: SimulatedWork): Promise<void> {
  const { random } = work;
  if (work.sweeps !== undefined) {
    // The sweep for abandoned epochs comes every minute.
    for (let round = 0; round < work.sweeps; round++) {
      if ((await append(work)) === undefined && work.certain === true) {
        work.ledger.problems.push("an append was refused, although nothing fails any more");
      }
      await pause(61_000);
    }
    return;
  }
  const rounds = 1 + random.below(MAX_ROUNDS);
  const relaxed: Promise<unknown>[] = [];
  for (let round = 0; round < rounds && !work.schedule.off; round++) {
    const what = random.below(6);
    if (what === 0) await pause(random.pick([1, 10, 250, 5_000, 70_000]));
    else if (what === 1) relaxed.push(append(work, true));
    else if (what === 2) await acknowledged(work);
    else if (what === 3) await append(work);
    else {
      const scattered = random.chance(0.5);
      await Promise.all(
        Array.from({ length: 1 + random.below(MAX_TOGETHER) }, async () => {
          if (scattered) await turns(work);
          await append(work, random.chance(0.2));
        }),
      );
    }
  }
  await Promise.all(relaxed);
  if (random.chance(0.6)) await work.journal.stop("shutdown", deadline(random.pick([0, 2_000])));
}

let names = 0;

async function append(work: SimulatedWork, relaxed = false): Promise<SealedEvent | undefined> {
  const { journal, ledger } = work;
  // Of one length, whatever the number: sizes decide where segments end, and are to be the same for a seed.
  const name = `tool_${String((names = (names + 1) % 1_000_000)).padStart(6, "0")}`;
  ledger.attempted.add(name);
  try {
    const sealed = await journal.append(decision(name), { relaxed });
    if (!work.schedule.off) ledger.tell(sealed);
    return sealed;
  } catch (error) {
    journal.counters.auditDenied += 1;
    if (!EXPECTED.has(errorCode(error))) ledger.problems.push(`append: ${String(error)}`);
    return undefined;
  }
}

async function acknowledged(work: SimulatedWork): Promise<void> {
  const sealed = await append(work);
  if (sealed === undefined || !(await work.journal.acknowledged(sealed, 2_000))) return;
  const { epoch, seq } = (sealed.event.data as { chain: { epoch: string; seq: number } }).chain;
  if (!work.schedule.off) work.ledger.acknowledged(`${epoch}/${seq}`);
}

/** Lets some operations of the disk go by, so that an append comes in the middle of another's. */
async function turns({ schedule, random }: SimulatedWork): Promise<void> {
  for (let left = random.below(6); left > 0 && !schedule.off; left--) {
    await schedule.run("turn", () => undefined).catch(() => undefined);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function deadline(ms: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), ms);
  return controller.signal;
}
