import { AsyncLocalStorage } from "node:async_hooks";
import { inspect } from "node:util";
import { NAME_DNS } from "@countersign/model";

/**
 * The verified token behind a human, for token exchange (RFC 8693) and for nothing else. It prints as nothing and serialises
 * as nothing: only `reveal` gives it away, and only the token exchange of this package calls that.
 */
export interface SubjectToken {
  readonly kind: "access_token" | "id_token";
  /** The token itself. For a token service that the human's own issuer runs; never for a log, a span, another server. */
  reveal(): string;
}

class OpaqueToken implements SubjectToken {
  readonly kind: SubjectToken["kind"];
  readonly #token: string;

  constructor(kind: SubjectToken["kind"], token: string) {
    this.kind = kind;
    this.#token = token;
  }

  reveal(): string {
    return this.#token;
  }

  toJSON(): undefined {
    return undefined;
  }

  [inspect.custom](): string {
    return "SubjectToken";
  }
}

/** Wraps a token that was verified. */
export function createSubjectToken(kind: SubjectToken["kind"], token: string): SubjectToken {
  return new OpaqueToken(kind, token);
}

// A process may hold several copies of this package (the server's and the application's): they share one storage.
const STORAGE: unique symbol = Symbol.for(`${NAME_DNS}/subject`);
type Shared = { [STORAGE]?: AsyncLocalStorage<SubjectToken | undefined> };

function storage(): AsyncLocalStorage<SubjectToken | undefined> {
  const shared = globalThis as Shared;
  return (shared[STORAGE] ??= new AsyncLocalStorage());
}

/** Runs `run`, and what it starts, on behalf of this human. `undefined` hides an outer one: no call inherits another's human. */
export function runWithSubject<T>(subject: SubjectToken | undefined, run: () => T): T {
  return storage().run(subject, run);
}

/** The token of the human on whose behalf this code runs; `undefined` outside of a call, or when its human has no token. */
export function currentSubject(): SubjectToken | undefined {
  return storage().getStore();
}
