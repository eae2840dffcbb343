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

/** A detector, and what a text needs at least for it to fire: cheap to know, and most names lack it. */
interface Entry {
  readonly find: Finder;
  readonly possible: (features: Features) => boolean;
  /** Also looks into object ids. There an e-mail is legitimate (`user:alice=40example=2Ecom`). */
  readonly ids: boolean;
}

const ENTRIES: readonly Entry[] = [
  { find: findPem, possible: ({ dashes }) => dashes >= 10, ids: true },
  { find: findJwt, possible: ({ dots, length }) => dots > 0 && length >= 14, ids: true },
  { find: findApiKey, possible: ({ length }) => length >= 15, ids: true },
  { find: findEmail, possible: ({ ats }) => ats > 0, ids: false },
  { find: findIban, possible: ({ digits, length }) => digits >= 2 && length >= 15, ids: true },
  { find: findCard, possible: ({ digits }) => digits >= 13, ids: true },
  { find: findSsn, possible: ({ digits }) => digits >= 9, ids: true },
];

interface Features {
  readonly length: number;
  readonly digits: number;
  readonly dashes: number;
  readonly dots: number;
  readonly ats: number;
  /** Printable ASCII without a backslash: nothing to see through. */
  readonly plain: boolean;
}

function featuresOf(text: string): Features {
  let digits = 0;
  let dashes = 0;
  let dots = 0;
  let ats = 0;
  let plain = true;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code >= 0x30 && code <= 0x39) digits += 1;
    else if (code === 0x2d) dashes += 1;
    else if (code === 0x2e) dots += 1;
    else if (code === 0x40) ats += 1;
    else if (code < 0x20 || code > 0x7e || code === 0x5c) plain = false;
  }
  return { length: text.length, digits, dashes, dots, ats, plain };
}

// Escapes of neutralise(), and the raw characters it would escape, but not the backslash itself.
const INVISIBLE = new RegExp(`\\\\u\\{[0-9A-F]{1,6}\\}|[${UNSAFE_RANGES}]`, "gu");

/**
 * The first detector that fires on a text, else undefined. Sees through what only looks different: characters that
 * {@link neutralise} makes visible, escaped or not, and compatibility forms (full-width digits).
 */
export function detect(text: string): Detector | undefined {
  return scanAll(text, false);
}

/** {@link detect} for object ids, given unescaped: no e-mails, cards by brand and length. */
export function detectInId(text: string): Detector | undefined {
  return scanAll(text, true);
}

function scanAll(text: string, isId: boolean): Detector | undefined {
  if (text.length > MAX_SCANNED_CHARACTERS) return "too_long";
  const features = featuresOf(text);
  if (features.plain) return scanOne(text, features, isId);
  for (const form of appearances(text)) {
    const detector = scanOne(form, featuresOf(form), isId);
    if (detector !== undefined) return detector;
  }
  return undefined;
}

function scanOne(text: string, features: Features, isId: boolean): Detector | undefined {
  const scan: Scan = { text, strict: isId, work: 0 };
  for (const entry of ENTRIES) {
    if ((isId && !entry.ids) || !entry.possible(features)) continue;
    const hit = entry.find(scan, 0);
    if (hit !== undefined) return hit.detector;
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
  if (text.length > MAX_SCANNED_CHARACTERS) {
    return [{ detector: "too_long", start: 0, end: text.length }];
  }
  const scan: Scan = { text, strict: false, work: 0 };
  const features = featuresOf(text);
  const hits = ENTRIES.filter((entry) => entry.possible(features)).flatMap((entry) =>
    allOf(entry.find, scan),
  );
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
