// Decode, scrub, encode: slow and plain. The pass over the bytes has to come to the same.
import type { Traces } from "@countersign/pipeline";
import { decodeProto } from "../otlp/decode-proto.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { TRACE_REQUEST } from "../otlp/message.ts";
import { createAllowedKeys } from "../processors/allowed-keys.ts";
import { createPseudonym } from "../processors/pseudonym.ts";
import type { RedactKind } from "../processors/scrub-words.ts";
import { type Scrubbed, type ScrubRules } from "../processors/scrub-wire.ts";
import { createScrubber } from "./scrub-text.ts";
import { scrubTraces } from "./scrub-traces.ts";

/** Rules in words. */
export interface PlainRules {
  readonly pass: readonly string[];
  readonly prefixes: readonly string[];
  readonly pseudonymise: readonly string[];
  readonly action: "drop" | "mask";
}

const pseudonym = createPseudonym({ key: "k".repeat(32), kid: "k1" });

/** The rules as the pass over the bytes takes them. */
export function wireRules({ pass, prefixes, pseudonymise, action }: PlainRules): ScrubRules {
  return {
    keys: createAllowedKeys({ pass, pseudonymise }),
    prefixes: prefixes.map((prefix) => Buffer.from(prefix)),
    pseudonym,
    action,
  };
}

/** What the pass over the bytes should make of a request. Throws INPUT_INVALID. */
export function referenceScrub(bytes: Uint8Array, rules: PlainRules): Scrubbed {
  const counts = new Map<RedactKind, number>();
  const count = (kind: RedactKind, amount: number): void =>
    void counts.set(kind, (counts.get(kind) ?? 0) + amount);
  const { value, unknownFields } = decodeProto<Partial<Traces>>(bytes, TRACE_REQUEST);
  const scrubber = createScrubber({
    keys: new Set(rules.pass),
    prefixes: rules.prefixes,
    pseudonymise: new Set(rules.pseudonymise),
    pseudonym,
    action: rules.action,
    count,
  });
  const scrubbed = scrubTraces({ resourceSpans: value.resourceSpans ?? [] }, scrubber);
  if (unknownFields > 0) count("unknown_field", unknownFields);
  const spans = scrubbed.resourceSpans
    .flatMap((one) => one.scopeSpans ?? [])
    .flatMap((one) => one.spans ?? []).length;
  return { bytes: encodeProto(scrubbed, TRACE_REQUEST), spans, counts };
}
