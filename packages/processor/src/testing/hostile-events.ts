// Events whose free texts an attacker chose: as they are sealed (neutralised), and as no emitter of ours would seal them.
import { neutralise, type SealedEvent, sha256Hex } from "@countersign/model";
import * as fc from "fast-check";
import { KINDS } from "./kinds.ts";

/** Places of an event where text stands that somebody else chose. */
const PLACES = [
  ["data", "human", "subject"],
  ["data", "human", "issuer"],
  ["data", "human", "binding", "jti"],
  ["data", "agent", "id"],
  ["data", "agent", "claimed", "name"],
  ["data", "agent", "claimed", "version"],
  ["data", "agent", "actors", 0, "subject"],
  ["data", "call", "method"],
  ["data", "call", "name"],
  ["data", "call", "protocolVersion"],
  ["data", "checks", 0, "permission"],
  ["data", "checks", 0, "consistencyToken"],
  ["data", "checks", 0, "contextKeys", 0],
  ["data", "policy", "rule"],
  ["data", "server", "id"],
  ["data", "server", "name"],
  ["data", "server", "version"],
  ["data", "tenant"],
  ["subject"],
] as const;

const PIECES = [
  ...Array.from("=+-@|\\'\"^,;:{}[]<>%#& \u00e9\u{1F600}\uFF1D"),
  ...Array.from("\n\r\t\0\u001b\u007f\u0085\u2028\u2029\u202e\u200b\ufeff\ud800"),
  " act=allowed",
  " cs1Label=x cs1=y",
  "\texternalId=0",
  "\tusrName=root",
  "\\n",
  "\\=",
  "\\u{A}",
  "|CEF:0|a|b|c|d|e|9|",
  "\nLEEF:2.0|a|b|c|d|^|",
  '=HYPERLINK("http://127.0.0.1")',
  "@SUM(1)",
];

const text: fc.Arbitrary<string> = fc
  .array(fc.oneof(fc.constantFrom(...PIECES), fc.string({ maxLength: 6 })), {
    minLength: 1,
    maxLength: 12,
  })
  .map((pieces) => pieces.join(""))
  .filter((joined) => joined !== "");

/** One text for each place; `sealed`: neutralised, as the gate does it before sealing. */
export const hostileEvent: fc.Arbitrary<{ event: SealedEvent; sealed: boolean }> = fc
  .record({
    texts: fc.array(text, { minLength: PLACES.length, maxLength: PLACES.length }),
    sealed: fc.boolean(),
  })
  .map(({ texts, sealed }) => ({
    sealed,
    event: eventWith(texts.map((one) => (sealed ? neutralise(one) : one))),
  }));

/** The fullest decision with these texts at the places. */
function eventWith(texts: readonly string[]): SealedEvent {
  const event = structuredClone(KINDS["full"]?.event) as object;
  PLACES.forEach((place, index) => {
    let at = event as Record<string | number, unknown>;
    for (const key of place.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
    at[place[place.length - 1] as string] = texts[index];
  });
  const bytes = Buffer.from(JSON.stringify(event));
  return { bytes, hash: sha256Hex(bytes), event: event as SealedEvent["event"] };
}

/** The same event with harmless texts. */
export function harmlessEvent(): SealedEvent {
  return eventWith(PLACES.map(() => "x"));
}

/** The same `count` events for the same seed. */
export function hostileEvents(count: number, seed: number): SealedEvent[] {
  return fc.sample(hostileEvent, { numRuns: count, seed }).map(({ event }) => event);
}
