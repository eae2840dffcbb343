// Text of others on its way into an event: bound, neutralised, and looked at by the detectors (contract, section 3).
import { BOUNDS } from "./bounds.ts";
import { CountersignError } from "./error.ts";
import { detect, detectInId } from "./detect.ts";
import { boundText, byteLength, isNeutral, neutralise } from "./neutralise.ts";

/** What a value is read to before it is cut: a secret that the cut would split is still seen whole. */
const READ_CHARACTERS = 1_024;

/** Counts what was withheld while one event was built. */
export interface Withholding {
  withheld: number;
}

/** A descriptive value: neutralised and cut. Empty or absent: undefined. */
export function descriptive(
  text: string | undefined,
  maxBytes: number = BOUNDS.stringBytes,
): string | undefined {
  if (text === undefined || text === "") return undefined;
  return boundText(neutralise(text.slice(0, READ_CHARACTERS)), maxBytes);
}

/** A descriptive value that the other side chose freely: withheld when a detector fires. */
export function claimed(text: string | undefined, count: Withholding): string | undefined {
  if (text === undefined || text === "") return undefined;
  const read = text.slice(0, READ_CHARACTERS);
  if (detect(read) !== undefined) {
    count.withheld += 1;
    return undefined;
  }
  return boundText(neutralise(read), BOUNDS.stringBytes);
}

/** An identifying value: neutralised, never cut. Over the bound is a bug: the gate asks `overBound` first. */
export function identifying(path: string, text: string, maxBytes: number): string {
  const neutral = neutralise(text);
  if (neutral === "" || byteLength(neutral) > maxBytes) {
    throw new CountersignError("BUG", `draft: ${path} is empty or over ${maxBytes} bytes`);
  }
  return neutral;
}

const UNKNOWN_NAME = /^[A-Za-z0-9_./-]{1,128}$/;

/** A call's name, or the mark that it was not fit to be recorded. */
export type NameForm = { readonly name?: string } | { readonly nameWithheld: true };

/**
 * The name of a call. One that neither the policy nor the server knows is recorded only if it looks like a name; and none
 * in which a detector fires. A name that is neutral already (an outcome repeats its decision) is taken as it is.
 */
export function nameForm(
  name: string | undefined,
  source: "known" | "unknown" | "recorded",
  count: Withholding,
): NameForm {
  if (name === undefined || name === "") return {};
  const read = name.slice(0, READ_CHARACTERS);
  if ((source === "unknown" && !UNKNOWN_NAME.test(name)) || detect(read) !== undefined) {
    count.withheld += 1;
    return { nameWithheld: true };
  }
  const neutral = source === "recorded" && isNeutral(read) ? read : neutralise(read);
  return { name: boundText(neutral, BOUNDS.stringBytes) };
}

/** Stands for a method that is not fit to be recorded, as `_OTHER` does in OpenTelemetry's conventions. */
export const OTHER_METHOD = "_OTHER";

const METHOD = /^[A-Za-z0-9_$][A-Za-z0-9_$./-]{0,127}$/;

/** The method of a call: any caller may send any string as one, so only what looks like a method is recorded. */
export function methodForm(method: string, count: Withholding): string {
  if (METHOD.test(method) && detect(method) === undefined) return method;
  if (method !== OTHER_METHOD) count.withheld += 1;
  return OTHER_METHOD;
}

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,64}$/;

/** Anything shorter holds no card number. */
const MIN_CARD_DIGITS = 13;

/**
 * A JSON-RPC id as events and spans carry it: an integer, or `[A-Za-z0-9._:-]{1,64}`; absent when a detector fires. A card
 * number counts by brand and length, as in resource ids: long ids are made of digits, and one in ten passes Luhn.
 */
export function requestIdText(id: unknown): string | undefined {
  if (typeof id === "number" && !Number.isSafeInteger(id)) return undefined;
  if (typeof id !== "number" && (typeof id !== "string" || !REQUEST_ID.test(id))) return undefined;
  const text = String(id);
  return text.length < MIN_CARD_DIGITS || detectInId(text) === undefined ? text : undefined;
}

const VERSION = /^[A-Za-z0-9._-]{1,32}$/;

/** A protocol version, if it looks like one. */
export function protocolVersionText(version: string | undefined): string | undefined {
  return version !== undefined && VERSION.test(version) && detect(version) === undefined
    ? version
    : undefined;
}

const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A traceparent with a valid context, else undefined. */
export function traceparentText(traceparent: string | undefined): string | undefined {
  return traceparent !== undefined && TRACEPARENT.test(traceparent) ? traceparent : undefined;
}
