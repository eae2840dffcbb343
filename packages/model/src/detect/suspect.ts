// What a detector needs at least, seen in bytes: each is looked at once, and no text is made of them. Most texts have none.
import { IBAN_LENGTHS } from "./iban.ts";
import { isAlphanumeric, isBase64Url, isDigit } from "./scan.ts";
import { KEY_FORMS, type KeyForm, PEM_BEGIN } from "./secret.ts";

const PLAIN = 0;
const LETTER = 1;
const DIGIT = 2;
/** Space, dash, dot: what may part the digits of a card number. */
const GAP = 3;
/** Only who reads characters can tell: controls, the backslash of an escape, all beyond ASCII. And `@`. */
const ODD = 4;

const KIND: Uint8Array = Uint8Array.from({ length: 256 }, (_, code) => {
  if (code < 0x20 || code > 0x7e || code === 0x5c || code === 0x40) return ODD;
  if (isDigit(code)) return DIGIT;
  if (isAlphanumeric(code)) return LETTER;
  return code === 0x20 || code === 0x2d || code === 0x2e ? GAP : PLAIN;
});

const MIN_CARD_DIGITS = 13;

/**
 * Whether a detector could fire on the UTF-8 text in `bytes[start, end)`. False is certain: the text is printable ASCII, and
 * `redactText` would find nothing in it. True asks for the detectors. About 1 ns a byte.
 */
export function suspectText(bytes: Uint8Array, start: number, end: number): boolean {
  let before = PLAIN;
  // Digits of the run with its gaps, of its last group, and of the two groups before that.
  let run = 0;
  let group = 0;
  let second = 0;
  let third = 0;
  for (let at = start; at < end; at += 1) {
    const code = bytes[at] as number;
    const kind = KIND[code] as number;
    if (kind === LETTER) {
      if (before !== LETTER && before !== DIGIT && beginsSecret(bytes, start, at, end)) return true;
    } else if (kind === DIGIT) {
      if (before === DIGIT) {
        run += 1;
        group += 1;
      } else {
        const joined = before === GAP && run > 0;
        third = joined ? second : 0;
        second = joined ? group : 0;
        run = joined ? run + 1 : 1;
        group = 1;
      }
      if (run >= MIN_CARD_DIGITS || (group === 4 && second === 2 && third === 3)) return true;
    } else if (kind === GAP) {
      if (before !== DIGIT) run = 0;
      if (code === DASH && beginsPem(bytes, at, end)) return true;
    } else if (kind === ODD) return true;
    before = kind;
  }
  return false;
}

const DASH = 0x2d;
const PEM_BYTES: Uint8Array = Buffer.from(PEM_BEGIN, "latin1");

function beginsPem(bytes: Uint8Array, at: number, end: number): boolean {
  return at + 1 < end && bytes[at + 1] === DASH && hasAt(bytes, at, end, PEM_BYTES);
}

function hasAt(bytes: Uint8Array, at: number, end: number, wanted: Uint8Array): boolean {
  if (at + wanted.length > end) return false;
  for (let index = 0; index < wanted.length; index += 1) {
    if (bytes[at + index] !== wanted[index]) return false;
  }
  return true;
}

// What the first two letters of a word may begin.
const KEY = 1;
const IBAN = 2;
const JWT = 4;

const PAIRS: Uint8Array = new Uint8Array(65_536);
const FORMS: ReadonlyMap<number, readonly PrefixedForm[]> = Map.groupBy(
  KEY_FORMS.map((form) => ({ form, prefix: Buffer.from(form.prefix, "latin1") })),
  ({ prefix }) => pairOf(prefix, 0),
);
const COUNTRIES: ReadonlyMap<number, number> = new Map(
  [...IBAN_LENGTHS].map(([country, length]) => [pairOf(Buffer.from(country, "latin1"), 0), length]),
);
/** Makes two letters capital ones. */
const CAPITALS = 0xffff & ~0x2020;

for (const pair of FORMS.keys()) PAIRS[pair] = KEY;
for (let pair = 0; pair < PAIRS.length; pair += 1) {
  if (COUNTRIES.has(pair & CAPITALS)) {
    PAIRS[pair] = (PAIRS[pair] as number) | IBAN;
  }
}
for (const start of ["ey", "ew"]) {
  const pair = pairOf(Buffer.from(start, "latin1"), 0);
  PAIRS[pair] = (PAIRS[pair] as number) | JWT;
}

interface PrefixedForm {
  readonly form: KeyForm;
  readonly prefix: Uint8Array;
}

function pairOf(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function beginsSecret(bytes: Uint8Array, start: number, at: number, end: number): boolean {
  if (at + 1 >= end) return false;
  const pair = pairOf(bytes, at);
  const begins = PAIRS[pair] as number;
  return (
    begins !== 0 &&
    (((begins & KEY) !== 0 && beginsKey(bytes, at, end)) ||
      ((begins & IBAN) !== 0 && isIbanLong(bytes, at, end)) ||
      ((begins & JWT) !== 0 && beginsJwt(bytes, start, at, end)))
  );
}

function beginsKey(bytes: Uint8Array, at: number, end: number): boolean {
  for (const { form, prefix } of FORMS.get(pairOf(bytes, at)) ?? []) {
    const body = at + prefix.length;
    if (body + form.min > end || !hasAt(bytes, at, end, prefix)) continue;
    let index = body;
    while (index < body + form.min && form.accepts(bytes[index] as number)) index += 1;
    if (index === body + form.min) return true;
  }
  return false;
}

/** As many letters and digits as an IBAN of the country has, with gaps of one space or dash, then the end of a word. */
function isIbanLong(bytes: Uint8Array, at: number, end: number): boolean {
  if (at + 2 >= end || !isDigit(bytes[at + 2] as number)) return false;
  const length = COUNTRIES.get(pairOf(bytes, at) & CAPITALS) ?? 0;
  let letters = 0;
  let index = at;
  for (; letters < length && index < end; index += 1) {
    const code = bytes[index] as number;
    if (isAlphanumeric(code)) letters += 1;
    else if (code !== 0x20 && code !== DASH) return false;
    else if (!isAlphanumeric(bytes[index + 1] as number)) return false;
  }
  return letters === length && (index === end || !isAlphanumeric(bytes[index] as number));
}

/** Letters of base64url up to a dot. Not within such letters, so all of a text is looked at once. */
function beginsJwt(bytes: Uint8Array, start: number, at: number, end: number): boolean {
  if (at > start && isBase64Url(bytes[at - 1] as number)) return false;
  let index = at;
  while (index < end && isBase64Url(bytes[index] as number)) index += 1;
  return index < end && bytes[index] === 0x2e;
}
