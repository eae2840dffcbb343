// A secret in every place of a request where bytes of the sender can be.
import type { AnyValue, KeyValue, Span, Traces } from "@countersign/pipeline";

/** How a secret may be written so that it is still one for whoever reads it. */
export const ENCODINGS = ["plain", "json", "nested", "key", "invisible", "full_width"] as const;
export type Encoding = (typeof ENCODINGS)[number];

const ZERO_WIDTH = "\u200b";

/** The text that is planted. */
export function encodedText(secret: string, encoding: Encoding): string {
  if (encoding === "json") return JSON.stringify({ a: [{ note: secret }] });
  if (encoding === "invisible") return Array.from(secret).join(ZERO_WIDTH);
  if (encoding === "full_width") return Array.from(secret).map(fullWidth).join("");
  return secret;
}

function fullWidth(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code > 0x20 && code < 0x7f ? String.fromCodePoint(code + 0xfee0) : character;
}

export function valueOf(text: string, encoding: Encoding): AnyValue {
  if (encoding === "nested") {
    const inner = { kvlistValue: { values: [{ key: "k", value: { stringValue: text } }] } };
    return { arrayValue: { values: [{ stringValue: `see ${text}.` }, inner] } };
  }
  if (encoding === "key")
    return { kvlistValue: { values: [{ key: text, value: { intValue: "1" } }] } };
  return { stringValue: `see ${text}, thanks` };
}

function attributes(text: string, encoding: Encoding): readonly KeyValue[] {
  const value = valueOf(text, encoding);
  return [
    { key: "error.type", value },
    { key: "otel.note", value },
    { key: "not.allowed", value },
    { key: `otel.${text}`, value: { stringValue: "x" } },
    { key: text, value: { stringValue: "x" } },
    { key: "mcp.method.name", value: { bytesValue: Buffer.from(text).toString("base64") } },
    ...numbers(text),
  ];
}

/** A number is one in more than one form. */
function numbers(text: string): readonly KeyValue[] {
  const number = Number(text.replaceAll(/[ .-]/g, ""));
  if (!Number.isSafeInteger(number) || number < 1e12) return [];
  return [
    { key: "error.type", value: { intValue: String(number) } },
    { key: "error.type", value: { doubleValue: number } },
  ];
}

/** One request with one span that has the text in every field. */
export function plantedRequest(secret: string, encoding: Encoding): Traces {
  const text = encodedText(secret, encoding);
  const prose = `call ${text} now`;
  const ids = { traceId: "a1".repeat(16), spanId: "b2".repeat(8) };
  const span: Span = {
    ...ids,
    traceState: `vendor=${text}`,
    name: prose,
    attributes: attributes(text, encoding),
    events: [{ name: prose, attributes: attributes(text, encoding) }],
    links: [{ ...ids, traceState: text, attributes: attributes(text, encoding) }],
    status: { message: prose, code: 2 },
  };
  const scope = { name: prose, version: text, attributes: attributes(text, encoding) };
  return {
    resourceSpans: [
      {
        resource: { attributes: attributes(text, encoding) },
        scopeSpans: [{ scope, spans: [span], schemaUrl: `https://x.example/${text}` }],
        schemaUrl: text,
      },
    ],
  };
}
