import { CountersignError } from "@countersign/model";

const DURATION = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)$/;
const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** Longest delay a timer takes (2^31 - 1 ms); longer ones would fire at once. */
const MAX_DURATION_MS = 2_147_483_647;

const SIZE = /^(\d{1,9})(B|KiB|MiB|GiB)$/;
const SIZE_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** A duration in a configuration (`500ms`, `10s`, `1.5m`, `2h`) in whole milliseconds; undefined if it is none. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  const ms = Math.round(Number(match[1]) * (DURATION_MS[match[2] as string] as number));
  return ms <= MAX_DURATION_MS ? ms : undefined;
}

/** A size in a configuration (`512B`, `64KiB`, `4MiB`, `1GiB`) in bytes; undefined if it is none. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text);
  return match === null ? undefined : Number(match[1]) * (SIZE_BYTES[match[2] as string] as number);
}

/** {@link parseDuration} of a value that validation let through. */
export function durationMs(text: string): number {
  return parseDuration(text) ?? bug(text.length);
}

/** {@link parseSize} of a value that validation let through. */
export function sizeBytes(text: string): number {
  return parseSize(text) ?? bug(text.length);
}

function bug(length: number): never {
  throw new CountersignError(
    "BUG",
    `config: a unit of ${length} characters was not validated before its use`,
  );
}

/** Schema of a duration member. */
export const DURATION_SCHEMA: { readonly type: "string"; readonly format: "duration" } = {
  type: "string",
  format: "duration",
};
/** Schema of a size member. */
export const SIZE_SCHEMA: { readonly type: "string"; readonly format: "size" } = {
  type: "string",
  format: "size",
};
