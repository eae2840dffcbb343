// What the detectors share. All of them are hand-written scanners: each character is looked at a bounded number of
// times, whatever the text, and `work` counts the looks, so that a test can hold them to it.

/** Kinds of values that must not be in an event. `too_long`: over what is scanned, so nobody can tell. */
export type Detector = "card" | "iban" | "ssn" | "email" | "jwt" | "pem" | "api_key" | "too_long";

/** One hit: `start` inclusive, `end` exclusive, in UTF-16 units. */
export interface Match {
  readonly detector: Detector;
  readonly start: number;
  readonly end: number;
}

/** The text under scan, and how often a character of it was looked at. */
export interface Scan {
  readonly text: string;
  /** For ids: card numbers only with a known brand and length, IBANs in capitals only. */
  readonly strict: boolean;
  work: number;
}

/** Finds the first hit at or after `from`. */
export type Finder = (scan: Scan, from: number) => Match | undefined;

/** Code of the character at `index`; NaN outside. Counts. */
export function codeAt(scan: Scan, index: number): number {
  scan.work += 1;
  return scan.text.charCodeAt(index);
}

/** 0-9 */
export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/** A-Z a-z */
export function isLetter(code: number): boolean {
  return (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

/** A-Z a-z 0-9 */
export function isAlphanumeric(code: number): boolean {
  return isDigit(code) || isLetter(code);
}

/** A-Z a-z 0-9 _ - */
export function isBase64Url(code: number): boolean {
  return isAlphanumeric(code) || code === 0x5f || code === 0x2d;
}

/** Where a word begins: no letter or digit before it. */
export function isWordStart(scan: Scan, index: number): boolean {
  return index === 0 || !isAlphanumeric(codeAt(scan, index - 1));
}

/** End of the run of characters that `accepts` takes, at most `max` long. */
export function runEnd(
  scan: Scan,
  start: number,
  accepts: (code: number) => boolean,
  max: number,
): number {
  const limit = Math.min(scan.text.length, start + max);
  let end = start;
  while (end < limit && accepts(codeAt(scan, end))) end += 1;
  return end;
}
