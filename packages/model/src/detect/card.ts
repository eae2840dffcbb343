import { codeAt, isDigit, type Match, type Scan } from "./scan.ts";

const MIN_DIGITS = 13;
const MAX_DIGITS = 19;

const SPACE = 0x20;
const DASH = 0x2d;
const DOT = 0x2e;

/** Digits without a gap. */
interface Group {
  readonly start: number;
  readonly end: number;
}

/**
 * Payment card numbers: 13 to 19 digits that pass Luhn, alone or in groups parted by one space, dash, or dot, which
 * begin and end where a group does. A digit string over 19 long is no card. All zeros pass Luhn and are none.
 */
export function findCard(scan: Scan, from: number): Match | undefined {
  for (let index = from; index < scan.text.length;) {
    if (!isDigit(codeAt(scan, index))) {
      index += 1;
      continue;
    }
    const end = groupsEnd(scan, index);
    const hit = end - index < MIN_DIGITS ? undefined : firstCard(scan, groupsIn(scan, index, end));
    if (hit !== undefined) return hit;
    index = end;
  }
  return undefined;
}

/** End of the digits that begin at `start`, over gaps of one character. Of most, this is all that is looked at: they are too few. */
function groupsEnd(scan: Scan, start: number): number {
  let index = start;
  for (;;) {
    while (isDigit(codeAt(scan, index))) index += 1;
    if (!isGap(codeAt(scan, index)) || !isDigit(codeAt(scan, index + 1))) return index;
    index += 1;
  }
}

function isGap(code: number): boolean {
  return code === SPACE || code === DASH || code === DOT;
}

function groupsIn(scan: Scan, start: number, end: number): readonly Group[] {
  const groups: Group[] = [];
  for (let index = start; index < end; index += 1) {
    const begin = index;
    while (isDigit(codeAt(scan, index))) index += 1;
    groups.push({ start: begin, end: index });
  }
  return groups;
}

function firstCard(scan: Scan, groups: readonly Group[]): Match | undefined {
  for (let first = 0; first < groups.length; first += 1) {
    let digits = "";
    let dots = false;
    for (let last = first; last < groups.length; last += 1) {
      const group = groups[last] as Group;
      if (digits.length + group.end - group.start > MAX_DIGITS) break;
      dots ||= last > first && scan.text.charCodeAt(group.start - 1) === DOT;
      digits += scan.text.slice(group.start, group.end);
      if (digits.length < MIN_DIGITS) continue;
      // Version numbers have dots: with these, only groups of four as on a card count.
      const start = (groups[first] as Group).start;
      if (dots && (groups[first] as Group).end - start !== 4) continue;
      if (isCard(scan, digits)) return { detector: "card", start, end: group.end };
    }
  }
  return undefined;
}

function isCard(scan: Scan, digits: string): boolean {
  scan.work += digits.length;
  if (/^0+$/.test(digits) || (scan.strict && !BRANDS.test(digits))) return false;
  let sum = 0;
  for (let index = 0; index < digits.length; index += 1) {
    const digit = digits.charCodeAt(digits.length - 1 - index) - 0x30;
    const value = index % 2 === 0 ? digit : digit * 2;
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}

// Prefixes and lengths in use: Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay, Maestro. Ids are
// often long numbers, one in ten of which passes Luhn; time stamps and snowflake ids begin with 1.
const BRANDS =
  /^(?:4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|62\d{14,17}|(?:50|5[6-8]|63|67)\d{11,17})$/;
