const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Digits of every integer that is spelt plainly, whatever its value: below 10^15. */
const PLAIN_DIGITS = 15;

/**
 * Whether every number in `[start, end)` is spelt as RFC 8785 spells it. A digest is over values as JavaScript reads them, and to
 * it 9007199254740993 and 9007199254740992, or 1 and 1.0, are one; a server that reads more digits, or tells the two kinds apart,
 * would run what nobody signed. Only for bytes that passed a strict scan.
 */
export function areNumbersPlain(line: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const byte = line[at] as number;
    if (byte === QUOTE) at = afterString(line, at);
    else if (byte === 0x2d || isDigit(byte)) {
      const stop = afterNumber(line, at, end);
      if (!isPlain(line, at, stop)) return false;
      at = stop;
    } else at += 1;
  }
  return true;
}

function afterString(line: Buffer, quote: number): number {
  let at = quote + 1;
  while (line[at] !== QUOTE) at += line[at] === BACKSLASH ? 2 : 1;
  return at + 1;
}

function afterNumber(line: Buffer, start: number, end: number): number {
  let at = start + 1;
  while (at < end && isOfNumber(line[at] as number)) at += 1;
  return at;
}

function isOfNumber(byte: number): boolean {
  return (
    isDigit(byte) ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e ||
    byte === 0x45 ||
    byte === 0x65
  );
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isPlain(line: Buffer, start: number, end: number): boolean {
  const text = line.toString("latin1", start, end);
  return (text.length <= PLAIN_DIGITS && /^\d+$/.test(text)) || String(Number(text)) === text;
}
