/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import { CountersignError } from "@countersign/model";
import type { CallProofs, Message } from "./call-proofs.ts";
import { isRecord } from "./inject.ts";

/** Messages of one transport that may wait for a proof, or behind one. More are refused. */
const MAX_WAITING = 1_024;

type Send = (this: object, message: unknown, ...rest: unknown[]) => Promise<void>;

const LINE: unique symbol = Symbol.for("@countersign/client line") as never;

interface Transport {
  [LINE]?: Line;
}

/**
 * Puts a proof on every request where it leaves this transport, so over exactly what is sent, and again whenever the
 * transport itself sends again (after a 401, say). On the instance, since SDK v2 tells its STDIO transport by the class. Idempotent.
 */
export function proveSends(transport: object | undefined, proofs: CallProofs): void {
  if (transport === undefined) return;
  const known = (transport as Transport)[LINE];
  if (known !== undefined) {
    known.proofs = proofs;
    return;
  }
  const name = funnelOf(transport);
  const original = (transport as Record<string, unknown>)[name];
  if (typeof original !== "function") return;
  const line = new Line(transport, proofs);
  Object.defineProperty(transport, LINE, { value: line });
  const send: Send = function provenSend(this: object, message, ...rest) {
    const pass = (proven: unknown): Promise<void> => (original as Send).call(this, proven, ...rest);
    return isRecord(message) ? line.send(message, pass) : line.inOrder(() => pass(message));
  };
  Object.defineProperty(transport, name, { value: send, configurable: true, writable: true });
}

/** SDK v2's HTTP transports send again by their inner method. All others by `send` itself. */
function funnelOf(transport: object): "_send" | "send" {
  return "_url" in transport && "_send" in transport && typeof transport._send === "function"
    ? "_send"
    : "send";
}

/** The messages of one transport, in the order in which they were to be sent. */
class Line {
  proofs: CallProofs;
  readonly #transport: object;
  #waiting = 0;
  /** Resolves when the last of those that wait is handed over; undefined when nobody waits. */
  #last: Promise<void> | undefined;

  constructor(transport: object, proofs: CallProofs) {
    this.#transport = transport;
    this.proofs = proofs;
  }

  /** Sends a message once it is proven and its turn has come. Without a proof to wait for, and nobody before it: now. */
  send(message: Message, pass: (proven: Message) => Promise<void>): Promise<void> {
    if (this.#waiting >= MAX_WAITING) return Promise.reject(full());
    let proven: Message | Promise<Message>;
    try {
      proven = this.proofs.prove(message, this.#transport);
    } catch (error) {
      return Promise.reject(error);
    }
    if (!(proven instanceof Promise)) return this.inOrder(() => pass(proven));
    return this.#turn(async (before) => {
      const settled = await proven.then(
        (ready) => () => pass(ready),
        (error: unknown) => () => Promise.reject(error),
      );
      await before;
      return settled;
    });
  }

  /** Sends what needs no proof, after those that wait. */
  inOrder(pass: () => Promise<void>): Promise<void> {
    if (this.#last === undefined) return pass();
    if (this.#waiting >= MAX_WAITING) return Promise.reject(full());
    return this.#turn(async (before) => {
      await before;
      return pass;
    });
  }

  /** Each turn runs in its caller's async context, and is over when the message is handed over, not when it has arrived. */
  async #turn(
    wait: (before: Promise<void> | undefined) => Promise<() => Promise<void>>,
  ): Promise<void> {
    const before = this.#last;
    const { promise: over, resolve: handOver } = Promise.withResolvers<void>();
    this.#last = over;
    this.#waiting += 1;
    const pass = await wait(before);
    try {
      // Not awaited here: the next one goes when this one is with the transport.
      return pass();
    } finally {
      this.#waiting -= 1;
      if (this.#last === over) this.#last = undefined;
      handOver();
    }
  }
}

function full(): CountersignError {
  return new CountersignError(
    "OVERLOADED",
    `client.proof: ${MAX_WAITING} messages wait for a proof; this one was not sent. Try again later`,
  );
}
