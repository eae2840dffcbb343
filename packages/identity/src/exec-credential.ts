import { CountersignError, EXEC_API_VERSION } from "@countersign/model";
import type { Credential, CredentialSource } from "./credential.ts";
import { readCredential } from "./exec-output.ts";
import { type HelperRun, runHelper } from "./run-helper.ts";
import { orAbort } from "./wait.ts";

/** How a helper is run. */
export interface ExecCredentialOptions {
  /** Environment of the helper; what it must print for is added. Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Resources (RFC 8707) that a token may be for, beside the audience: `issuers[].audience` of the policy. */
  readonly resources?: readonly string[];
  /** Then the helper is killed. Default 8,000. */
  readonly timeoutMs?: number;
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: () => number;
}

/** Environment variable that tells a helper what is asked of it. */
const EXEC_INFO_VARIABLE = "COUNTERSIGN_EXEC_INFO";

const DEFAULT_TIMEOUT_MS = 8000;
/** A credential is asked for again this long before it ends; or after four fifths of its life, if that is later. */
const RENEW_BEFORE_MS = 60_000;
const RENEW_AT_SHARE = 0.8;
/** However long a helper says that its credential is good: a logout reaches this process within ten minutes. */
const MAX_KEPT_MS = 600_000;
/** After "nobody is logged in" and after a failure: calls in between get the same answer, not a process each. */
const ASK_AGAIN_AFTER_MS = 1000;
const MAX_AUDIENCES = 64;

interface Answer {
  readonly credential: Credential | undefined;
  readonly error?: CountersignError;
  readonly atMs: number;
  readonly keepUntilMs: number;
}

class ExecSource implements CredentialSource {
  readonly #command: readonly string[];
  readonly #options: ExecCredentialOptions;
  readonly #clock: () => number;
  readonly #answers = new Map<string, Answer>();
  readonly #running = new Map<string, Promise<Answer>>();

  constructor(command: readonly string[], options: ExecCredentialOptions) {
    this.#command = command;
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  async current(audience: string, signal: AbortSignal): Promise<Credential | undefined> {
    if (signal.aborted) throw cancelled();
    const known = this.#answers.get(audience);
    const answer =
      known !== undefined && this.#isInForce(known)
        ? known
        : await this.#waitFor(this.#run(audience), signal);
    if (answer.error !== undefined) throw answer.error;
    return answer.credential;
  }

  /** An answer of a time that is yet to come was kept by a clock that was wrong. */
  #isInForce({ atMs, keepUntilMs }: Answer): boolean {
    const nowMs = this.#clock();
    return atMs <= nowMs && nowMs < keepUntilMs;
  }

  /** A run never rejects: whatever does is the caller's abort. */
  #waitFor(run: Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    return orAbort(run, signal).catch(() => {
      throw cancelled();
    });
  }

  /** One run at a time for an audience, shared by all who wait; it goes on when one of them leaves. Never rejects. */
  #run(audience: string): Promise<Answer> {
    const running = this.#running.get(audience);
    if (running !== undefined) return running;
    const run = this.#ask(audience).then((answer) => {
      this.#running.delete(audience);
      this.#remember(audience, answer);
      return answer;
    });
    this.#running.set(audience, run);
    return run;
  }

  async #ask(audience: string): Promise<Answer> {
    const { env = process.env, resources = [], timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    const spec = { audience, resources };
    const info = { apiVersion: EXEC_API_VERSION, kind: "ExecCredential", spec };
    const run = await runHelper(this.#command, {
      env: { ...env, [EXEC_INFO_VARIABLE]: JSON.stringify(info) },
      timeoutMs,
    });
    const nowMs = this.#clock();
    const soon = { atMs: nowMs, keepUntilMs: nowMs + ASK_AGAIN_AFTER_MS };
    try {
      const credential = credentialOf(run, nowMs);
      if (credential === undefined) return { credential, ...soon };
      const lifeMs = credential.expiresAtMs - nowMs;
      const renewMs = Math.max(lifeMs - RENEW_BEFORE_MS, lifeMs * RENEW_AT_SHARE);
      return { credential, atMs: nowMs, keepUntilMs: nowMs + Math.min(renewMs, MAX_KEPT_MS) };
    } catch (error) {
      return { credential: undefined, error: error as CountersignError, ...soon };
    }
  }

  #remember(audience: string, answer: Answer): void {
    this.#answers.delete(audience);
    this.#answers.set(audience, answer);
    const oldest = this.#answers.keys().next();
    if (this.#answers.size > MAX_AUDIENCES && !oldest.done) this.#answers.delete(oldest.value);
  }
}

/** Exit 1 with nothing on stdout: nobody is logged in. Whatever else is not a credential is a helper that does not work. */
function credentialOf(run: HelperRun, nowMs: number): Credential | undefined {
  if ("failure" in run) throw unavailable(run.failure);
  if (run.exitCode === 1 && run.stdout === "") return undefined;
  if (run.exitCode !== 0) throw unavailable(`it ended with exit code ${run.exitCode}`);
  const read = readCredential(run.stdout, nowMs);
  if ("problem" in read) throw unavailable(read.problem);
  return read.credential;
}

function unavailable(what: string): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `identity/exec: the credential helper gave no credential: ${what}. Run it in a terminal to see what it says`,
  );
}

function cancelled(): CountersignError {
  return new CountersignError("CANCELLED", "identity/exec: the caller did not wait");
}

/**
 * The human's credential from a helper command, as kubectl does it: started without a shell, asked by `COUNTERSIGN_EXEC_INFO`,
 * heard on stdout. Nothing is started before the first call that needs it.
 * @param command program and arguments, at least the program
 */
export function execCredentialSource(
  command: readonly string[],
  options: ExecCredentialOptions = {},
): CredentialSource {
  return new ExecSource(command, options);
}
