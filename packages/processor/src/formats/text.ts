// What a caller may have chosen, made fit for lines and for the tables that people export from a SIEM.
import { CountersignError, UNSAFE_RANGES } from "@countersign/model";

// What breaks lines somewhere (U+2028 and 2029 do in Python and Java), and a space at an end, which parsers trim.
const UNFIT = new RegExp(`[${UNSAFE_RANGES}\\u2028\\u2029]|^ | $`, "u");
const UNFIT_ALL = new RegExp(UNFIT.source, "gu");

// Printable ASCII without a space at an end: nothing to do. The common case, decided in one pass.
const PLAIN = /^[!-~](?:[ -~]*[!-~])?$/;

/**
 * The text with every character that ends a line, steers a terminal or cannot be seen as `\u{HEX}`. Events are sealed like
 * this (contract, section 3), so of a true event nothing but U+2028, U+2029 and a space at an end changes.
 */
export function visible(text: string): string {
  return PLAIN.test(text) || !UNFIT.test(text) ? text : text.replace(UNFIT_ALL, toHex);
}

function toHex(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`;
}

// What a spreadsheet takes for the beginning of a formula; full-width forms count in some locales.
const FORMULA = /^[=+\-@'\uFF1D\uFF0B\uFF0D\uFF20]/u;

/**
 * Text that describes, with an apostrophe before what a spreadsheet would take for a formula. An apostrophe at the beginning
 * gets one, too: take one away, and what was meant is there again. Never for identifiers: they have to stay joinable.
 */
export function unformula(text: string): string {
  return FORMULA.test(text) ? `'${text}` : text;
}

/** Longest line of a text format, in bytes: as long as a sealed event may be. */
export const MAX_TEXT_LINE_BYTES = 32_768;
/** Longest line of a JSON format, in bytes. */
const MAX_JSON_LINE_BYTES = 131_072;

// What JSON leaves as it is, and some readers take for the end of a line or for a command.
const CONTROL = /[\u007F-\u009F\u2028\u2029]/;
const CONTROLS = new RegExp(CONTROL.source, "g");

function jsonEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * The object as one line of JSON that ends nowhere else.
 * @throws INPUT_INVALID when it is over {@link MAX_JSON_LINE_BYTES}: cut, it would be another event.
 */
export function jsonLine(format: string, value: object): Uint8Array {
  const text = JSON.stringify(value);
  const line = Buffer.from(CONTROL.test(text) ? text.replace(CONTROLS, jsonEscape) : text, "utf8");
  if (line.length <= MAX_JSON_LINE_BYTES) return line;
  throw new CountersignError(
    "INPUT_INVALID",
    `${format}: the mapped event is over ${MAX_JSON_LINE_BYTES} bytes`,
  );
}
