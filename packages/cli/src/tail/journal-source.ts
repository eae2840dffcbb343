import { setTimeout as delay } from "node:timers/promises";
import { createEpochReader, type EpochReader, listEpochs, nodeFs } from "@countersign/journal";
import { type DecisionEvent, kindOf } from "@countersign/model";
import { journalDirectory } from "@countersign/server/doctor";
import { summaryOf } from "../decision-line.ts";
import type { DecisionSource, TailedDecision } from "./source.ts";

const POLL_MS = 250;
/** Epochs that are followed at a time: the newest ones. Others of the same directory are shipped, not watched. */
const MAX_EPOCHS = 64;

/**
 * Decisions that this machine's journal holds. What a processor acknowledged is released from the journal and can no longer be
 * seen here.
 */
export function journalSource(
  directory: string | undefined,
  env: NodeJS.ProcessEnv,
): DecisionSource {
  return new JournalSource(directory ?? journalDirectory(env));
}

class JournalSource implements DecisionSource {
  readonly #directory: string;
  readonly #readers = new Map<string, EpochReader>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async past(limit: number): Promise<readonly TailedDecision[]> {
    const found = await this.#read();
    return found.slice(Math.max(0, found.length - limit));
  }

  async follow(
    take: (decisions: readonly TailedDecision[]) => void,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const found = await this.#read();
      if (found.length > 0) take(found);
      await delay(POLL_MS, undefined, { signal }).catch(() => {});
    }
    for (const reader of this.#readers.values()) await reader.close();
  }

  /** What came since the last time, in the order of the events' own clocks. */
  async #read(): Promise<TailedDecision[]> {
    const epochs = (await listEpochs(this.#directory)).slice(-MAX_EPOCHS);
    const found: TailedDecision[] = [];
    for (const { path } of epochs) found.push(...(await this.#readEpoch(path)));
    await this.#forget(new Set(epochs.map(({ path }) => path)));
    return found.toSorted((left, right) => left.summary.time.localeCompare(right.summary.time));
  }

  async #readEpoch(path: string): Promise<TailedDecision[]> {
    const reader =
      this.#readers.get(path) ?? createEpochReader({ fs: nodeFs, epochPath: path, live: true });
    this.#readers.set(path, reader);
    const found: TailedDecision[] = [];
    for (let step = await reader.next(); step !== undefined; step = await reader.next()) {
      found.push(...step.records.flatMap(({ body }) => decisionIn(body)));
    }
    return found;
  }

  async #forget(there: ReadonlySet<string>): Promise<void> {
    for (const [path, reader] of this.#readers) {
      if (there.has(path)) continue;
      this.#readers.delete(path);
      await reader.close();
    }
  }
}

function decisionIn(body: Uint8Array): TailedDecision[] {
  const event = JSON.parse(Buffer.from(body).toString("utf8")) as DecisionEvent;
  return kindOf(event.type) === "decision" ? [{ summary: summaryOf(event), json: event }] : [];
}
