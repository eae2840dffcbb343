import type { Assurance, Durability } from "@countersign/model";

/** A policy document that the JSON Schema accepted; policy.schema.json is the authority. */
export interface PolicyDocument {
  readonly version: 1;
  readonly server: string;
  readonly tenant: string;
  readonly mode: "enforce" | "observe";
  readonly until?: string;
  readonly durability?: Durability;
  readonly heartbeat?: string;
  readonly identity: {
    readonly minimum: Assurance;
    readonly subject: string;
    readonly issuers?: readonly IssuerEntry[];
    readonly process?: { readonly exec: readonly string[] };
  };
  readonly authorizer: {
    readonly spicedb?: SpiceDbEntry;
    readonly relationships?: readonly string[];
  };
  readonly tools?: Entries;
  readonly resources?: Entries;
  readonly prompts?: Entries;
  readonly paths?: { readonly root: string };
  readonly lists?: "filter" | "open";
  readonly default: "deny";
}

/** `identity.issuers[]`. */
interface IssuerEntry {
  readonly issuer: string;
  readonly audience?: string;
  readonly clients?: readonly string[];
  readonly algorithms: readonly string[];
  readonly jwksUri?: string;
}

/** `authorizer.spicedb`. */
export interface SpiceDbEntry {
  readonly endpoint: string;
  readonly token: string;
  readonly tls?: boolean;
  readonly consistency?: "fully_consistent" | "minimize_latency" | "at_least_as_fresh";
  readonly timeout?: string;
}

/** `tools`, `resources`, `prompts`. */
export type Entries = Readonly<Record<string, CheckEntry | readonly CheckEntry[]>>;

/** The question an entry asks. */
export interface ListEntryCheck {
  readonly permission: string;
  readonly resource: string;
  readonly context?: Readonly<Record<string, string | number | boolean>>;
}

/** One check of an entry. */
export interface CheckEntry extends ListEntryCheck {
  readonly minimum?: Assurance;
  readonly list?: ListEntryCheck;
}
