import type { RunningCall } from "../../enforce.ts";
import type { RequestId } from "./message.ts";

/** A request of the client that has no answer yet. */
export interface Call {
  readonly id: RequestId;
  readonly method: string;
  /** Of MCP 2026-07-28 or later. */
  readonly modern: boolean;
  /** Aborts when the client cancels, or the server is gone. */
  readonly abort: AbortController;
  /** Set once the request is with the server. */
  running?: RunningCall;
  /** The client gets no answer any more: it cancelled, or was answered already. */
  over: boolean;
}

/**
 * The open requests of one connection. An id is free again when its answer has come. A cancelled one is remembered, so
 * that an answer on its way is not taken for that of another call, and its id is not taken again meanwhile.
 */
export interface Calls {
  readonly size: number;
  open(request: Pick<Call, "id" | "method" | "modern">): Call;
  get(id: RequestId): Call | undefined;
  /** Whether an answer to this id may still come. */
  taken(id: RequestId): boolean;
  /** The answer went out, or none will. */
  close(call: Call): void;
  /** The client cancelled what the server already has. */
  cancel(call: Call): void;
  /** A late answer came: true if its call was cancelled. */
  late(id: RequestId): boolean;
  all(): Call[];
}

/** @param maxCancelled cancelled ids that are remembered; the oldest is forgotten first */
export function createCalls(maxCancelled: number): Calls {
  return new CallTable(maxCancelled);
}

class CallTable implements Calls {
  readonly #maxCancelled: number;
  readonly #open = new Map<RequestId, Call>();
  readonly #cancelled = new Set<RequestId>();

  constructor(maxCancelled: number) {
    this.#maxCancelled = maxCancelled;
  }

  get size(): number {
    return this.#open.size;
  }

  open(request: Pick<Call, "id" | "method" | "modern">): Call {
    const call: Call = { ...request, abort: new AbortController(), over: false };
    this.#open.set(call.id, call);
    return call;
  }

  get(id: RequestId): Call | undefined {
    return this.#open.get(id);
  }

  taken(id: RequestId): boolean {
    return this.#open.has(id) || this.#cancelled.has(id);
  }

  close(call: Call): void {
    call.over = true;
    if (this.#open.get(call.id) === call) this.#open.delete(call.id);
  }

  cancel(call: Call): void {
    this.close(call);
    this.#cancelled.add(call.id);
    if (this.#cancelled.size <= this.#maxCancelled) return;
    for (const oldest of this.#cancelled) {
      this.#cancelled.delete(oldest);
      return;
    }
  }

  late(id: RequestId): boolean {
    return this.#cancelled.delete(id);
  }

  all(): Call[] {
    return [...this.#open.values()];
  }
}
