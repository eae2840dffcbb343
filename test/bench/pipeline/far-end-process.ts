// The harness' side of the far end.
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Arrived, FarEndQuestion } from "./far-end.ts";

/** A running far end. */
export interface FarEnd {
  readonly pid: number;
  readonly url: string;
  ask(question: FarEndQuestion): Promise<Arrived>;
  stop(): Promise<void>;
}

/** Starts one; it runs where the harness does. */
export async function startFarEnd(): Promise<FarEnd> {
  const child = fork(join(import.meta.dirname, "far-end.ts"), {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const ended = once(child, "exit");
  const [port] = (await once(child, "message")) as [number];
  let last: Promise<unknown> = Promise.resolve();
  return {
    pid: child.pid as number,
    url: `http://127.0.0.1:${port}`,
    // One question at a time, so that the next message is the answer.
    ask: (question) => {
      const answer = last.then(async () => {
        child.send(question);
        const [arrived] = (await once(child, "message")) as [Arrived];
        return arrived;
      });
      last = answer.catch(() => undefined);
      return answer;
    },
    stop: async () => {
      child.disconnect();
      await ended;
    },
  };
}

const PATIENCE_MS = 60_000;

/** Asks until `count` gives `wanted` or more; after a minute without an item more, it gives what there is. */
export async function reach(
  wanted: number,
  count: () => Promise<number>,
  everyMs = 20,
): Promise<number> {
  let [found, since] = [await count(), Date.now()];
  while (found < wanted && Date.now() - since < PATIENCE_MS) {
    await delay(everyMs);
    const now = await count();
    if (now !== found) [found, since] = [now, Date.now()];
  }
  return found;
}
