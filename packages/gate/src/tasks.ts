import type { Human } from "@countersign/model";

const MAX_TASKS = 4096;
/** No human's: every owner has a line break in it. */
const NOBODY = "";

/**
 * Who made which task in this process (contract, section 5: `tasks/*`). Bounded: when it is full the oldest is forgotten,
 * and whoever asks for that one is told what anybody else is told.
 */
export class TaskOwners {
  readonly #owners = new Map<string, string>();

  /** An id that comes out for a second human belongs to nobody: results are the tool's word, and could name another's task. */
  claim(taskId: string, human: Human): void {
    const owner = ownerOf(human);
    const contested = (this.#owners.get(taskId) ?? owner) !== owner;
    this.#owners.delete(taskId);
    this.#owners.set(taskId, contested ? NOBODY : owner);
    if (this.#owners.size <= MAX_TASKS) return;
    for (const oldest of this.#owners.keys()) {
      this.#owners.delete(oldest);
      return;
    }
  }

  owns(taskId: string, human: Human | undefined): boolean {
    return human !== undefined && this.#owners.get(taskId) === ownerOf(human);
  }
}

function ownerOf({ issuer, subject }: Human): string {
  return `${issuer}\n${subject}`;
}
