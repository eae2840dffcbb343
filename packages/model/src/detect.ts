// Detectors for the few free-text fields (contract, section 3). Linear in the text, which is bounded; what is too long to
// be scanned counts as a hit, so that a failure withholds.
import { findCard } from "./detect/card.ts";
import { findIban } from "./detect/iban.ts";
import { findEmail, findSsn } from "./detect/person.ts";
import { findApiKey, findJwt, findPem } from "./detect/secret.ts";
import { UNSAFE_RANGES } from "./neutralise.ts";
import type { Detector, Finder, Match, Scan } from "./detect/scan.ts";

/** Longest text that is scanned, in UTF-16 units. */
export const MAX_SCANNED_CHARACTERS = 65_536;

const FINDERS: readonly Finder[] = [
  findPem,
  findJwt,
  findApiKey,
  findEmail,
  findIban,
  findCard,
  findSsn,
];
/** In ids an e-mail is legitimate (`user:alice=40example=2Ecom`). */
const ID_FINDERS: readonly Finder[] = FINDERS.filter((finder) => finder !== findEmail);

/** Short, and nothing that any detector begins with: no `@`, no run of digits, no key. The common case. */
const HARMLESS = /^[a-z][a-z_./]{0,63}$/;

// Escapes of neutralise(), and the raw characters it would escape, but not the backslash itself.
const INVISIBLE = new RegExp(`\\\\u\\{[0-9A-F]{1,6}\\}|[${UNSAFE_RANGES}]`, "gu");

/**
 * The first detector that fires on a text, else undefined. Sees through what only looks different: characters that
 * {@link neutralise} makes visible, escaped or not, and compatibility forms (full-width digits).
 */
export function detect(text: string): Detector | undefined {
  return HARMLESS.test(text) ? undefined : scanAll(text, FINDERS, false);
}

/** {@link detect} for object ids, given unescaped: no e-mails, cards by brand and length. */
export function detectInId(text: string): Detector | undefined {
  return HARMLESS.test(text) ? undefined : scanAll(text, ID_FINDERS, true);
}

function scanAll(text: string, finders: readonly Finder[], strict: boolean): Detector | undefined {
  if (text.length > MAX_SCANNED_CHARACTERS) return "too_long";
  for (const form of appearances(text)) {
    const scan: Scan = { text: form, strict, work: 0 };
    for (const find of finders) {
      const hit = find(scan, 0);
      if (hit !== undefined) return hit.detector;
    }
  }
  return undefined;
}

const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/** The texts that a reader might see: as it is, and with what is invisible taken for nothing or for a space. */
function appearances(text: string): ReadonlySet<string> {
  const plain = PRINTABLE_ASCII.test(text) ? text : text.normalize("NFKC");
  const forms = new Set([text, plain]);
  if (plain.search(INVISIBLE) >= 0) {
    forms.add(plain.replace(INVISIBLE, "")).add(plain.replace(INVISIBLE, " "));
  }
  return forms;
}

/** Every hit in a text as it stands, in order; hits that overlap are one, under the name of the first. */
export function findAll(text: string): readonly Match[] {
  if (HARMLESS.test(text)) return [];
  if (text.length > MAX_SCANNED_CHARACTERS) {
    return [{ detector: "too_long", start: 0, end: text.length }];
  }
  const scan: Scan = { text, strict: false, work: 0 };
  const hits = FINDERS.flatMap((find) => allOf(find, scan));
  hits.sort((a, b) => a.start - b.start || b.end - a.end);
  const kept: Match[] = [];
  for (const hit of hits) {
    const last = kept.at(-1);
    if (last === undefined || hit.start >= last.end) kept.push(hit);
    else kept[kept.length - 1] = { ...last, end: Math.max(last.end, hit.end) };
  }
  return kept;
}

function allOf(find: Finder, scan: Scan): readonly Match[] {
  const hits: Match[] = [];
  for (let hit = find(scan, 0); hit !== undefined; hit = find(scan, hit.end)) hits.push(hit);
  return hits;
}

/** What takes the place of a hit: nothing at all of the text (`drop`), `[<detector>]` (`mask`), or what you make of it. */
export type RedactAction = "drop" | "mask" | ((detector: Detector, match: string) => string);

/** A text without its hits; `text` is undefined when it has to go as a whole. */
export interface RedactedText {
  readonly text: string | undefined;
  readonly detectors: readonly Detector[];
}

/**
 * Takes every hit out of a text. A hit that is only seen through invisible characters has no place in the text, so the
 * whole text is replaced.
 */
export function redactText(text: string, action: RedactAction): RedactedText {
  const hits = findAll(text);
  const detectors = hits.map((hit) => hit.detector);
  const replace = typeof action === "function" ? action : mask;
  const hidden = detect(replaceHits(text, hits, mask));
  if (hidden !== undefined) {
    const whole = action === "drop" ? undefined : replace(hidden, text);
    return { text: whole, detectors: [...detectors, hidden] };
  }
  if (action === "drop" && hits.length > 0) return { text: undefined, detectors };
  return { text: replaceHits(text, hits, replace), detectors };
}

function mask(detector: Detector): string {
  return `[${detector}]`;
}

function replaceHits(
  text: string,
  hits: readonly Match[],
  replace: (detector: Detector, match: string) => string,
): string {
  let replaced = "";
  let end = 0;
  for (const hit of hits) {
    replaced += text.slice(end, hit.start) + replace(hit.detector, text.slice(hit.start, hit.end));
    end = hit.end;
  }
  return replaced + text.slice(end);
}
