import type { JsonSchema } from "@countersign/pipeline";

const HEADER = { type: "string", maxLength: 8192, pattern: "^[\\x20-\\x7e]*$" } as const;
/** Names of headers that hold credentials: authorization, x-api-key, cookie, x-honeycomb-team. */
const SECRET_HEADERS = "([Aa]uth|[Cc]ookie|[Kk]ey|[Pp]assword|[Ss]ecret|[Tt]eam|[Tt]oken)";

/** Schema of headers that an operator adds. */
export const HEADERS_SCHEMA: JsonSchema = {
  type: "object",
  default: {},
  maxProperties: 32,
  patternProperties: { [SECRET_HEADERS]: { ...HEADER, writeOnly: true } },
  additionalProperties: HEADER,
  propertyNames: { pattern: "^[A-Za-z0-9-]{1,64}$" },
  description: "Sent with every request; take secrets from ${env:…} or ${file:…}.",
};
