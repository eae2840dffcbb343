import { CountersignError } from "@countersign/model";
import { type Decoded, type Field, MAX_DEPTH, type Message, type ScalarType } from "./message.ts";

type Bag = Record<string, unknown>;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/**
 * Reads OTLP/JSON: ids in hex, 64-bit numbers as strings or numbers, enums as numbers. Members that are not described are
 * dropped and counted, `null` counts as absent. Throws INPUT_INVALID, with a path and never a value.
 */
export function decodeJson<Value>(bytes: Uint8Array, message: Message): Decoded<Value> {
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(bytes));
  } catch {
    // The parser's message quotes the text.
    throw new CountersignError("INPUT_INVALID", "otlp: the body is not JSON in UTF-8");
  }
  const counts = { unknownFields: 0 };
  const value = read(json, message, { path: message.name, depth: 0 }, counts) as Value;
  return { value, unknownFields: counts.unknownFields };
}

interface Place {
  readonly path: string;
  readonly depth: number;
}

function wrong({ path }: Place, what: string): CountersignError {
  return new CountersignError("INPUT_INVALID", `otlp: ${path} is not ${what}`);
}

function read(
  value: unknown,
  message: Message,
  place: Place,
  counts: { unknownFields: number },
): Bag {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(place, "an object");
  if (place.depth > MAX_DEPTH) {
    throw new CountersignError("INPUT_INVALID", `otlp: values nest deeper than ${MAX_DEPTH}`);
  }
  const bag: Bag = {};
  let known = 0;
  for (const field of message.fields) {
    const item = Object.hasOwn(value, field.name) ? (value as Bag)[field.name] : undefined;
    if (item === undefined) continue;
    known += 1;
    if (item === null) continue;
    const at = { path: `${place.path}.${field.name}`, depth: place.depth + 1 };
    if (field.choice === true && Object.keys(bag).length > 0) throw wrong(place, "one value");
    bag[field.name] =
      field.repeated === true
        ? readList(item, field, at, counts)
        : readOne(item, field, at, counts);
  }
  counts.unknownFields += Object.keys(value).length - known;
  return bag;
}

function readList(
  value: unknown,
  field: Field,
  at: Place,
  counts: { unknownFields: number },
): unknown[] {
  if (!Array.isArray(value)) throw wrong(at, "a list");
  return value.map((item) => readOne(item, field, at, counts));
}

function readOne(
  value: unknown,
  { type }: Field,
  at: Place,
  counts: { unknownFields: number },
): unknown {
  if (typeof type !== "string") return read(value, type, at, counts);
  const scalar = SCALARS[type](value);
  if (scalar === undefined) throw wrong(at, WORDS[type]);
  return scalar;
}

const WORDS: Readonly<Record<ScalarType, string>> = {
  string: "text",
  hex: "an id in hex",
  base64: "base64",
  bool: "true or false",
  uint32: "a whole number",
  enum: "a number of the enumeration",
  int64: "a whole number of 64 bits",
  fixed64: "a time in nanoseconds",
  fixed32: "a whole number",
  double: "a number",
};

const SCALARS: Readonly<Record<ScalarType, (value: unknown) => unknown>> = {
  string: (value) => (typeof value === "string" && value.isWellFormed() ? value : undefined),
  hex: (value) =>
    typeof value === "string" && /^(?:[0-9A-Fa-f]{2})*$/.test(value)
      ? value.toLowerCase()
      : undefined,
  base64: (value) =>
    typeof value === "string" && /^[A-Za-z0-9+/_-]*={0,2}$/.test(value)
      ? Buffer.from(value, "base64").toString("base64")
      : undefined,
  bool: (value) => (typeof value === "boolean" ? value : undefined),
  uint32: (value) => whole(value, 0, 0xffffffff),
  enum: (value) => whole(value, -0x80000000, 0x7fffffff),
  int64: (value) => big(value, -(2n ** 63n), 2n ** 63n - 1n),
  fixed64: (value) => big(value, 0n, 2n ** 64n - 1n),
  fixed32: (value) => whole(value, 0, 0xffffffff),
  double: (value) => (isDouble(value) ? value : undefined),
};

function isDouble(value: unknown): boolean {
  return (
    typeof value === "number" || value === "NaN" || value === "Infinity" || value === "-Infinity"
  );
}

function whole(value: unknown, min: number, max: number): number | undefined {
  const number = typeof value === "string" && /^-?\d{1,10}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isInteger(number) && number >= min && number <= max
    ? number
    : undefined;
}

function big(value: unknown, min: bigint, max: bigint): string | undefined {
  // SDKs write integers beyond 2^53 as numbers, too; what they rounded is rounded.
  const text =
    typeof value === "number" && Number.isInteger(value) ? BigInt(value).toString() : value;
  if (typeof text !== "string" || !/^-?\d{1,20}$/.test(text)) return undefined;
  const number = BigInt(text);
  return number >= min && number <= max ? number.toString() : undefined;
}
