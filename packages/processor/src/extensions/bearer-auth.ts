import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Component, ExtensionSpec, Runtime, SentBy } from "@countersign/pipeline";
import { DURATION_SCHEMA, durationMs } from "@countersign/pipeline";
import { CountersignError } from "@countersign/model";
import { type Attempts, createAttempts } from "../attempts.ts";
import { readTokens, type Tokens, TOKENS_SCHEMA } from "../credentials.ts";
import { faultsOf, SettingError } from "../setting-error.ts";
import {
  readSource,
  type Source,
  sourceOf,
  type WatchedFiles,
  watchFiles,
} from "../watched-files.ts";

interface Config {
  readonly tokens: string;
  readonly reload_interval: string;
}

/** Who sends, by a token. */
export const bearerAuthExtension: ExtensionSpec = {
  kind: "extension",
  type: "bearer_auth",
  stability: "beta",
  summary:
    "Tokens of senders: the SHA-256 of each, its tenant, and the emitters that it may send for. Named by a receiver's `auth`.",
  signals: [],
  config: {
    type: "object",
    additionalProperties: false,
    required: ["tokens"],
    properties: {
      tokens: {
        type: "string",
        minLength: 1,
        description: "The JSON file of tokens: ${file:/path/emitters.json}, or the path.",
        examples: ["${file:/etc/countersign/emitters.json}"],
        contentMediaType: "application/json",
        contentSchema: TOKENS_SCHEMA,
      },
      reload_interval: {
        ...DURATION_SCHEMA,
        default: "10s",
        description: "How often the file is looked at: 10s.",
      },
    },
  },
  check: ({ tokens }: Config) =>
    faultsOf(() => readTokens(readSource(sourceOf(tokens, isJson), "tokens"), "tokens")),
  create: (config: Config, runtime) => new BearerAuth(config, runtime),
};

/** What came of asking for a token. */
export type TokenVerdict =
  | { readonly sentBy: SentBy }
  | { readonly refused: "no_token" | "unknown_token" }
  | { readonly refused: "too_many_failures"; readonly retryAfterMs: number };

/** Asks requests for their token. */
export interface TokenCheck extends Component {
  check(request: IncomingMessage): TokenVerdict;
}

/** The extension as a receiver uses it. Throws BUG for another component. */
export function tokenCheckOf(component: Component | undefined, id: string): TokenCheck {
  if (component instanceof BearerAuth) return component;
  throw new CountersignError("BUG", `${id}: its \`auth\` is no bearer_auth extension`);
}

/** RFC 6750, section 2.1: b64token. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]{1,4096}=*)$/i;

const LIMITS = { burst: 20, refillMs: 3000, maxAddresses: 4096 };

class BearerAuth implements TokenCheck {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #source: Source;
  readonly #attempts: Attempts = createAttempts(LIMITS);
  /** Connections on which a token was right once: what others of the same address do does not hold them up. */
  readonly #known = new WeakSet<Socket>();
  #tokens: Tokens | undefined;
  #files: WatchedFiles | undefined;

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#source = sourceOf(config.tokens, isJson, runtime.files?.get("tokens"));
    runtime.metrics.gauge(
      "extension_tokens",
      "Tokens that are known.",
      { extension: runtime.id },
      () => this.#tokens?.size ?? 0,
    );
  }

  start(): Promise<void> {
    const { id } = this.#runtime;
    const text = readSource(this.#source, `${id}: tokens`);
    this.#tokens = readTokens(text, `${id}: tokens`);
    if (this.#source.file !== undefined) {
      this.#files = watchFiles({
        files: { tokens: this.#source.file },
        known: { tokens: text },
        intervalMs: durationMs(this.#config.reload_interval),
        changed: ({ tokens = "" }) => this.#renew(tokens),
        unreadable: (_name, code) => this.#keep(`cannot be read (${code})`),
      });
    }
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#files?.close();
    return Promise.resolve();
  }

  check(request: IncomingMessage): TokenVerdict {
    const { socket } = request;
    const address = socket.remoteAddress ?? "";
    const [header, ...more] = request.headersDistinct["authorization"] ?? [];
    if (header === undefined) return { refused: "no_token" };
    const retryAfterMs = this.#known.has(socket) ? 0 : this.#attempts.waitMs(address);
    if (retryAfterMs > 0) return { refused: "too_many_failures", retryAfterMs };
    const token = more.length > 0 ? undefined : BEARER.exec(header)?.[1];
    const sentBy = token === undefined ? undefined : this.#tokens?.find(token);
    if (sentBy !== undefined) {
      this.#known.add(socket);
      return { sentBy };
    }
    this.#attempts.failed(address);
    return { refused: "unknown_token" };
  }

  #renew(text: string): void {
    try {
      this.#tokens = readTokens(text, "tokens");
      this.#runtime.report({ state: "ok" });
      this.#runtime.log.info("tokens were read again", { tokens: this.#tokens.size });
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      this.#keep(error.fault.message);
    }
  }

  /** The tokens of before go on to work: a file that is half written must not lock everybody out. */
  #keep(reason: string): void {
    const detail = "the file of tokens cannot be used; those read before are still in force";
    this.#runtime.report({ state: "degraded", detail });
    this.#runtime.log.error(detail, { reason });
  }
}

function isJson(text: string): boolean {
  return text.trimStart().startsWith("{");
}
