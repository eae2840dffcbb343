import type { JsonSchema } from "@countersign/pipeline";

const HEADER = { type: "string", maxLength: 8192, pattern: "^[\\x20-\\x7e]*$" } as const;
/** Names of headers that hold credentials: authorization, x-api-key, cookie, x-honeycomb-team. */
const SECRET_HEADERS = "([Aa]uth|[Cc]ookie|[Kk]ey|[Pp]assword|[Ss]ecret|[Tt]eam|[Tt]oken)";

/** What frames a request and says how its body is packed is ours: another length or encoding makes two requests of one. */
const OURS = [
  "connection",
  "content-encoding",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]
  .map((name) => name.replaceAll(/[a-z]/g, (letter) => `[${letter.toUpperCase()}${letter}]`))
  .join("|");

/** Schema of headers that an operator adds. */
export const HEADERS_SCHEMA: JsonSchema = {
  type: "object",
  default: {},
  maxProperties: 32,
  patternProperties: { [SECRET_HEADERS]: { ...HEADER, writeOnly: true } },
  additionalProperties: HEADER,
  propertyNames: { pattern: `^(?!(?:${OURS})$)[A-Za-z0-9-]{1,64}$` },
  description:
    "Sent with every request, beside those of the connection and of the body's size and encoding; take secrets from ${env:…} or ${file:…}.",
};
