// What a simulated machine is about to do: operations of its disk and its network, carried out one at a time in an order that
// the seed chooses, until the power goes.
import { systemError } from "./faulty-fs.ts";
import type { Random } from "./random.ts";

interface Task {
  readonly label: string;
  readonly run: () => void;
  readonly refuse: () => void;
}

/** Operations that wait to be carried out. */
export class Schedule {
  /** Operations carried out so far. */
  steps = 0;
  /** Of all operations in their order: equal if and only if two runs did the same. */
  trace = 0x811c9dc5;
  off = false;
  readonly #random: Random;
  #tasks: Task[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** Resolves once `effect` has been carried out; rejects as it throws, or EIO without power. */
  run<Value>(label: string, effect: () => Value): Promise<Value> {
    if (this.off) return Promise.reject(systemError("EIO", label));
    return new Promise((resolve, reject) => {
      this.#tasks.push({
        label,
        run: () => {
          try {
            resolve(effect());
          } catch (error) {
            reject(error);
          }
        },
        refuse: () => reject(systemError("EIO", label)),
      });
    });
  }

  /** Carries out one operation; false if none waits. */
  step(): boolean {
    if (this.#tasks.length === 0) return false;
    const [task] = this.#tasks.splice(this.#random.below(this.#tasks.length), 1) as [Task];
    this.steps += 1;
    for (const character of task.label) {
      this.trace = Math.imul(this.trace ^ character.charCodeAt(0), 0x01000193) >>> 0;
    }
    task.run();
    return true;
  }

  /** What waits is refused, and whatever comes. */
  powerOff(): void {
    this.off = true;
    for (const task of this.#tasks.splice(0)) task.refuse();
  }
}
