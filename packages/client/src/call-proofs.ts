/* oxlint-disable no-underscore-dangle -- names of the wire */
import type { CallProver, CredentialSource } from "@countersign/identity";
import { CountersignError, META_CALL_PROOF, type Logger, errorCode } from "@countersign/model";
import { audienceOf } from "./audience.ts";
import { isRecord } from "./inject.ts";

/** How calls are proven. */
export interface ProofOptions {
  /** The human's login. Without it no call carries a proof, and what would make one is never loaded. */
  readonly credential?: CredentialSource;
  /**
   * Audience of every proof of this client: the policy's `server`. Default: STDIO, `COUNTERSIGN_AUDIENCE` in the `env` that
   * the transport gives to the server; HTTP, the server's URL without query and fragment.
   */
  readonly audience?: string;
}

/** A JSON-RPC message as it goes to a transport. */
export type Message = Readonly<Record<string, unknown>>;

/** Proofs for the messages of clients that share one login. */
export interface CallProofs {
  /**
   * Starts to prove a message that is about to leave by `transport`. A promise gives what to send: a copy that shares
   * nothing with the caller's, proven, or bare when nobody is logged in. It rejects when nothing may be sent: UNAVAILABLE,
   * INPUT_INVALID, CANCELLED. A message means: no proof belongs to this one, send it now.
   */
  prove(message: Message, transport: object): Message | Promise<Message>;
}

/** What {@link createCallProofs} is made of. */
export interface CallProofsOptions {
  readonly credential: CredentialSource;
  readonly audience?: string | undefined;
  readonly log: Logger;
  /** Longest wait for one proof. Default 10,000: the helper's own limit is 8 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
/** No gate decides these (contract, section 5), and a probe may reach a server that is not the one that is meant. */
const UNPROVEN: ReadonlySet<string> = new Set(["initialize", "ping", "server/discover"]);
const TRACE_ID =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;

/** Makes proofs of one login. `@countersign/identity` is loaded at the first call that needs one. */
export function createCallProofs(options: CallProofsOptions): CallProofs {
  return new LoginProofs(options);
}

class LoginProofs implements CallProofs {
  readonly #options: CallProofsOptions;
  readonly #said = new Set<string>();
  #prover: Promise<CallProver> | undefined;

  constructor(options: CallProofsOptions) {
    this.#options = options;
  }

  prove(message: Message, transport: object): Message | Promise<Message> {
    const bare = withoutProof(message);
    if (!isProvable(bare)) return bare;
    const audience = this.#options.audience ?? audienceOf(transport);
    if (audience !== undefined) return this.#proven(snapshot(bare), audience);
    this.#say(
      "a server has no audience, so calls to it carry no proof; set COUNTERSIGN_AUDIENCE in the `env` of its entry in the host's configuration",
    );
    return bare;
  }

  async #proven(message: Provable, audience: string): Promise<Message> {
    const { method, params } = message;
    const meta = isRecord(params?.["_meta"]) ? params["_meta"] : undefined;
    const traceId = traceIdOf(meta?.["traceparent"]);
    const call = { method, params, audience, ...(traceId === undefined ? {} : { traceId }) };
    const proof = await within(this.#options.timeoutMs ?? TIMEOUT_MS, async (signal) =>
      (await this.#load()).prove(call, signal),
    );
    if (proof === undefined) {
      this.#say("nobody is logged in, so calls carry no proof; run `countersign login`");
      return message;
    }
    return { ...message, params: { ...params, _meta: { ...meta, [META_CALL_PROOF]: proof } } };
  }

  #load(): Promise<CallProver> {
    return (this.#prover ??= import("@countersign/identity").then(({ createCallProver }) =>
      createCallProver(this.#options.credential),
    ));
  }

  /** Each sentence once: it tells how this process is set up, not what happens to a call. */
  #say(sentence: string): void {
    if (this.#said.has(sentence)) return;
    this.#said.add(sentence);
    this.#options.log.warn(`proof: ${sentence}`);
  }
}

interface Provable extends Message {
  readonly method: string;
  readonly params?: Message;
}

/** A request that a gate decides. What is no object where one must be is malformed, and the server will say so. */
function isProvable(message: Message): message is Provable {
  const { method, id, params } = message;
  if (typeof method !== "string" || id === undefined || UNPROVEN.has(method)) return false;
  if (params === undefined) return true;
  return isRecord(params) && (params["_meta"] === undefined || isRecord(params["_meta"]));
}

/** A proof that the application found somewhere and passes on is nobody's to use here: inbound ones above all. */
function withoutProof(message: Message): Message {
  const { params } = message;
  const meta = isRecord(params) ? params["_meta"] : undefined;
  if (!isRecord(params) || !isRecord(meta) || !Object.hasOwn(meta, META_CALL_PROOF)) return message;
  const { [META_CALL_PROOF]: _foreign, ...rest } = meta;
  return { ...message, params: { ...params, _meta: rest } };
}

/**
 * The message as it will be written. A transport writes while `send` runs, so the application may change its objects
 * afterwards; and what JSON leaves out or rewrites must not be in the digest.
 */
function snapshot(message: Provable): Provable {
  return JSON.parse(JSON.stringify(message)) as Provable;
}

function traceIdOf(traceparent: unknown): string | undefined {
  return typeof traceparent === "string" && traceparent.length <= 256
    ? TRACE_ID.exec(traceparent)?.[1]
    : undefined;
}

/** Codes of our own errors that say it all; their messages carry no token. */
const OWN_CODES: ReadonlySet<unknown> = new Set([
  "UNAVAILABLE",
  "REJECTED",
  "CANCELLED",
  "INPUT_INVALID",
]);

async function within<T>(timeoutMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(unavailable(`no credential within ${timeoutMs} ms`));
      abort.abort();
    }, timeoutMs);
  });
  try {
    return await Promise.race([work(abort.signal), late]);
  } catch (error) {
    // Anything else could quote a token. It is named, not passed on, not even as a cause.
    if (OWN_CODES.has(errorCode(error))) throw error;
    throw unavailable(`the credential source failed (${nameOf(error)})`);
  } finally {
    clearTimeout(timer);
  }
}

function unavailable(what: string): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `client.proof: ${what}; the call was not sent. Check the credential helper`,
  );
}

function nameOf(error: unknown): string {
  const name = error instanceof Error ? error.name : "";
  return /^[A-Za-z]{1,64}$/.test(name) ? name : "unknown error";
}
