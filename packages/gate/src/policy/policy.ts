import type { IssuerConfig } from "@countersign/identity";
import type { Assurance, Durability } from "@countersign/model";
import type { NameRules, UriRules } from "./match.ts";
import type { ObjectTemplate } from "./template.ts";

/** A policy file, checked and compiled: what calls must be allowed to do, and how sure we must be of who asks. */
export interface Policy {
  readonly version: 1;
  /** The server's own name; recorded as `server.id`. */
  readonly server: string;
  readonly tenant: string;
  readonly mode: "enforce" | "observe";
  /** Observe only: milliseconds since the epoch at which the policy enforces, whatever the process was started with. */
  readonly observeUntilMs?: number;
  readonly durability: Durability;
  readonly heartbeatMs?: number;
  /** `sha256:<hex>` over the RFC 8785 bytes of the document before `${env:…}` is replaced. */
  readonly digest: string;
  readonly identity: {
    readonly minimum: Assurance;
    readonly subject: ObjectTemplate;
    readonly issuers: readonly IssuerConfig[];
    /** The helper that gives this process the login of its human: program and arguments. */
    readonly process?: { readonly exec: readonly string[] };
  };
  readonly authorizer: AuthorizerConfig;
  readonly tools: NameRules;
  readonly prompts: NameRules;
  readonly resources: UriRules;
  /** Entries with a floor of their own, as `tools.refund`. */
  readonly floors: ReadonlyMap<string, Assurance>;
  /** Root of `|path`. */
  readonly pathRoot?: string;
  readonly lists: "filter" | "open";
}

/** Which engine answers, and how it is reached. */
export type AuthorizerConfig =
  | { readonly kind: "spicedb"; readonly spicedb: SpiceDbConfig }
  | { readonly kind: "relationships"; readonly relationships: readonly string[] };

/** How SpiceDB is reached. The token is a secret: it is in no message, log line or event. */
export interface SpiceDbConfig {
  /** `host:port`. */
  readonly endpoint: string;
  readonly token: string;
  /** Plaintext only towards this machine. */
  readonly tls: boolean;
  readonly consistency: "fully_consistent" | "minimize_latency" | "at_least_as_fresh";
  readonly timeoutMs: number;
}
