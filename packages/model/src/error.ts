/** What went wrong, by what the caller can do about it. Closed: match on it, never on the message. */
export type ErrorCode =
  | "CONFIG_INVALID"
  | "INPUT_INVALID"
  | "OVERLOADED"
  | "UNAVAILABLE"
  | "REJECTED"
  | "CANCELLED"
  | "BUG";

/** Details of a {@link CountersignError}. */
export interface ErrorOptions {
  readonly cause?: unknown;
  /** When a retry may succeed; only with `OVERLOADED` and `UNAVAILABLE`. */
  readonly retryAfterMs?: number;
  /** Indexes of the batch that failed; the rest was accepted. Absent: the whole batch failed. */
  readonly failed?: readonly number[];
  /**
   * Why, for each of `failed`, in its order: constants of the component or of the destination's protocol, at most 64 of
   * `[a-z0-9_]`. Only with `REJECTED` and `INPUT_INVALID`; they become the reasons of dead letters.
   */
  readonly reasons?: readonly string[];
}

/**
 * The one error class. The message starts with the id of the component, says what, where, and what to do, and never
 * carries payload: no argument, token, or text of a caller. A denial is a value, not an error.
 */
export class CountersignError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs?: number;
  readonly failed?: readonly number[];
  readonly reasons?: readonly string[];

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CountersignError";
    this.code = code;
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs;
    if (options.failed !== undefined) this.failed = options.failed;
    if (options.reasons !== undefined) this.reasons = options.reasons;
  }
}

const CODES: ReadonlySet<unknown> = new Set<ErrorCode>([
  "CONFIG_INVALID",
  "INPUT_INVALID",
  "OVERLOADED",
  "UNAVAILABLE",
  "REJECTED",
  "CANCELLED",
  "BUG",
]);

/** The code of one of our errors, else undefined. By value, not `instanceof`: two copies of this package may coexist. */
export function errorCode(error: unknown): ErrorCode | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return CODES.has(error.code) ? (error.code as ErrorCode) : undefined;
}
