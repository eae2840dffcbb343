import { codeAt, isAlphanumeric, isDigit, isLetter, type Match, type Scan } from "./scan.ts";

/**
 * Social security numbers of the United States: AAA-GG-SSSS with dashes or spaces, and the areas, groups and serials
 * that are given out. Nine digits in a row are not taken for one: too many numbers are nine digits long.
 */
export function findSsn(scan: Scan, from: number): Match | undefined {
  for (let index = from; index + 11 <= scan.text.length; index += 1) {
    const gap = codeAt(scan, index + 3);
    if ((gap !== 0x2d && gap !== 0x20) || codeAt(scan, index + 6) !== gap) continue;
    const text = scan.text.slice(index, index + 11);
    if (!SSN.test(text)) continue;
    if (isAlphanumeric(codeAt(scan, index - 1)) || isAlphanumeric(codeAt(scan, index + 11)))
      continue;
    return { detector: "ssn", start: index, end: index + 11 };
  }
  return undefined;
}

const SSN = /^(?!000|666|9)\d{3}[- ](?!00)\d\d[- ](?!0000)\d{4}$/;

const MAX_DOMAIN = 253;
const LOCAL: ReadonlySet<number> = new Set(Buffer.from("!#$%&'*+/=?^_`{|}~.-"));

/** E-mail addresses: something before an `@`, and a domain after it that ends in letters. */
export function findEmail(scan: Scan, from: number): Match | undefined {
  for (let at = scan.text.indexOf("@", from); at >= 0; at = scan.text.indexOf("@", at + 1)) {
    const start = localStart(scan, at, from);
    if (start === at) continue;
    const end = domainEnd(scan, at + 1);
    if (end !== undefined) return { detector: "email", start, end };
  }
  return undefined;
}

/** Letters beyond ASCII occur in addresses too (RFC 6531). */
function isWord(code: number): boolean {
  return isAlphanumeric(code) || code > 0x7f;
}

function localStart(scan: Scan, at: number, from: number): number {
  // Ends at the `@` before, so all of a text is looked at once.
  let start = at;
  while (start > from) {
    const code = codeAt(scan, start - 1);
    if (!isWord(code) && !LOCAL.has(code)) break;
    start -= 1;
  }
  return start;
}

function domainEnd(scan: Scan, start: number): number | undefined {
  const limit = Math.min(scan.text.length, start + MAX_DOMAIN);
  let end: number | undefined;
  let label = start;
  for (let index = start; index <= limit; index += 1) {
    const code = index < limit ? codeAt(scan, index) : Number.NaN;
    if (isWord(code) || code === 0x2d) continue;
    if (index === label) break;
    if (label > start && isTopLevel(scan.text.slice(label, index))) end = index;
    if (code !== 0x2e) break;
    label = index + 1;
  }
  return end;
}

function isTopLevel(label: string): boolean {
  if (label.length < 2) return false;
  if (label.startsWith("xn--")) return true;
  for (let index = 0; index < label.length; index += 1) {
    const code = label.charCodeAt(index);
    if (isDigit(code) || !(isLetter(code) || code > 0x7f)) return false;
  }
  return true;
}
