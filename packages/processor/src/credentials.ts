// Who may send for whom: lists of credentials, as files hold them.
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type JsonSchema, readJson, type SentBy } from "@countersign/pipeline";
import { SettingError } from "./setting-error.ts";

/** Most credentials in one file. */
const MAX_ROWS = 4096;

const SENT_BY = {
  tenant: { type: "string", minLength: 1, maxLength: 64, description: "The tenant of its events." },
  emitter: {
    type: "string",
    minLength: 1,
    maxLength: 63,
    pattern: "^[a-z0-9._-]*\\*?[a-z0-9._-]*$",
    description: "The emitter that it may be, or a pattern with one `*`: tickets-*.",
  },
  note: { type: "string", maxLength: 256, description: "For people; nothing reads it." },
} as const;

function listSchema(title: string, member: string, row: JsonSchema): JsonSchema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title,
    type: "object",
    additionalProperties: false,
    required: [member],
    properties: { [member]: { type: "array", maxItems: MAX_ROWS, items: row } },
  };
}

/** The file of the `bearer_auth` extension. */
export const TOKENS_SCHEMA: JsonSchema = listSchema("Tokens of emitters", "tokens", {
  type: "object",
  additionalProperties: false,
  required: ["sha256", "tenant", "emitter"],
  properties: {
    sha256: {
      type: "string",
      pattern: "^[0-9a-f]{64}$",
      description: "SHA-256 of the token's bytes, 64 lower-case hex digits.",
    },
    ...SENT_BY,
  },
});

/** The file of a receiver's `tls.clients`. */
export const CLIENTS_SCHEMA: JsonSchema = listSchema("Certificates of emitters", "clients", {
  type: "object",
  additionalProperties: false,
  required: ["subject", "tenant", "emitter"],
  properties: {
    subject: {
      type: "string",
      minLength: 1,
      maxLength: 512,
      description: "The certificate's subject, in its order: O=Acme,CN=tickets-1.",
    },
    ...SENT_BY,
  },
});

interface TokenRow extends SentBy {
  readonly sha256: string;
}
interface ClientRow extends SentBy {
  readonly subject: string;
}

/** Finds who a token belongs to. */
export interface Tokens {
  readonly size: number;
  find(token: string): SentBy | undefined;
}

/** Reads a file of tokens. Throws a `SettingError` with the first problem and its place. */
export function readTokens(text: string, setting: string): Tokens {
  const rows = readRows(text, { schema: TOKENS_SCHEMA, setting }) as TokenRow[];
  unique(rows, ({ sha256 }) => sha256, setting);
  return new TokenTable(rows);
}

/** Whom certificates belong to, by their subject. */
export type Clients = ReadonlyMap<string, SentBy>;

/** Reads a file of certificates' subjects. Throws a `SettingError` with the first problem and its place. */
export function readClients(text: string, setting: string): Clients {
  const rows = readRows(text, { schema: CLIENTS_SCHEMA, setting }) as ClientRow[];
  unique(rows, ({ subject }) => subject, setting);
  return new Map(rows.map(({ subject, tenant, emitter }) => [subject, { tenant, emitter }]));
}

/** Whether an emitter's name is one that a credential may send for. */
export function mayBe(name: string, pattern: string): boolean {
  const star = pattern.indexOf("*");
  if (star < 0) return name === pattern;
  const head = pattern.slice(0, star);
  const tail = pattern.slice(star + 1);
  return name.length >= head.length + tail.length && name.startsWith(head) && name.endsWith(tail);
}

/** The one list of the file. */
function readRows(
  text: string,
  { schema, setting }: { schema: JsonSchema; setting: string },
): readonly unknown[] | undefined {
  const document = readJson<Record<string, readonly unknown[]>>(text, schema, setting);
  if ("value" in document) return Object.values(document.value)[0];
  const [{ line, column, path, message, fix }] = document.problems;
  const where = path === "" ? "" : ` (${path})`;
  throw new SettingError(
    setting,
    `has a problem at line ${line}, column ${column}${where}: ${message}`,
    (fix ?? "mend the file").replace(/\.$/, ""),
  );
}

/** A credential belongs to one emitter pattern. */
function unique<Row>(rows: readonly Row[], keyOf: (row: Row) => string, setting: string): void {
  const seen = new Set<string>();
  for (const [index, row] of rows.entries()) {
    if (seen.has(keyOf(row)))
      throw new SettingError(
        setting,
        `repeats a credential in entry ${index}`,
        "remove one of the two",
      );
    seen.add(keyOf(row));
  }
}

/**
 * Rows stand under a keyed hash of their hash, so that the time which a look-up takes tells nothing about what is in the table;
 * what is found is compared in constant time.
 */
class TokenTable implements Tokens {
  readonly #key = randomBytes(32);
  readonly #rows: ReadonlyMap<string, { readonly digest: Buffer; readonly sentBy: SentBy }>;

  constructor(rows: readonly TokenRow[]) {
    this.#rows = new Map(
      rows.map(({ sha256, tenant, emitter }) => {
        const digest = Buffer.from(sha256, "hex");
        return [this.#blind(digest), { digest, sentBy: { tenant, emitter } }];
      }),
    );
  }

  get size(): number {
    return this.#rows.size;
  }

  find(token: string): SentBy | undefined {
    const digest = createHash("sha256").update(token, "utf8").digest();
    const row = this.#rows.get(this.#blind(digest));
    return row !== undefined && timingSafeEqual(row.digest, digest) ? row.sentBy : undefined;
  }

  #blind(digest: Buffer): string {
    return createHmac("sha256", this.#key).update(digest).digest("base64");
  }
}
