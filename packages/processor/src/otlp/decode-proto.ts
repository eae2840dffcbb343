import { CountersignError } from "@countersign/model";
import {
  type Decoded,
  type Field,
  MAX_DEPTH,
  type Message,
  type ScalarType,
  wireTypeOf,
} from "./message.ts";
import { WireReader } from "./wire.ts";

type Bag = Record<string, unknown>;

const tables = new WeakMap<Message, ReadonlyMap<number, Field>>();

function tableOf(message: Message): ReadonlyMap<number, Field> {
  let table = tables.get(message);
  if (table === undefined) {
    table = new Map(message.fields.map((field) => [field.number, field]));
    tables.set(message, table);
  }
  return table;
}

/**
 * Reads a protobuf message into the form of the JSON mapping. Fields that are not described, and fields of another wire type,
 * are dropped and counted. Throws INPUT_INVALID when the bytes are no message, or nest deeper than 64.
 */
export function decodeProto<Value>(bytes: Uint8Array, message: Message): Decoded<Value> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const counts = { unknownFields: 0 };
  const value = read(new WireReader(buffer), message, 0, counts) as Value;
  return { value, unknownFields: counts.unknownFields };
}

function read(
  reader: WireReader,
  message: Message,
  depth: number,
  counts: { unknownFields: number },
): Bag {
  if (depth > MAX_DEPTH) {
    throw new CountersignError("INPUT_INVALID", `otlp: values nest deeper than ${MAX_DEPTH}`);
  }
  const table = tableOf(message);
  const bag: Bag = {};
  while (!reader.done) {
    const { number, wire } = reader.tag();
    const field = table.get(number);
    if (field === undefined || !fits(field, wire)) {
      reader.skip(wire);
      counts.unknownFields += 1;
      continue;
    }
    const value = readValue(reader, field, depth, counts);
    if (field.repeated === true) ((bag[field.name] ??= []) as unknown[]).push(value);
    else put(bag, field, value, message);
  }
  return bag;
}

function fits(field: Field, wire: number): boolean {
  return wire === wireTypeOf(field);
}

/** The last one counts; of a `oneof` only one is left. (Parts of a message that comes twice are not merged: nobody sends that.) */
function put(bag: Bag, field: Field, value: unknown, message: Message): void {
  if (field.choice === true) for (const { name } of message.fields) delete bag[name];
  bag[field.name] = value;
}

function readValue(
  reader: WireReader,
  { type }: Field,
  depth: number,
  counts: { unknownFields: number },
): unknown {
  if (typeof type !== "string") return read(reader.message(), type, depth + 1, counts);
  return SCALARS[type](reader);
}

const SCALARS: Readonly<Record<ScalarType, (reader: WireReader) => unknown>> = {
  string: (reader) => reader.string(),
  hex: (reader) => reader.bytes().toString("hex"),
  base64: (reader) => reader.bytes().toString("base64"),
  bool: (reader) => reader.varint() !== 0n,
  uint32: (reader) => Number(BigInt.asUintN(32, reader.varint())),
  enum: (reader) => Number(BigInt.asIntN(32, reader.varint())),
  int64: (reader) => BigInt.asIntN(64, reader.varint()).toString(),
  fixed64: (reader) => reader.fixed64().toString(),
  fixed32: (reader) => reader.fixed32(),
  double: (reader) => doubleOf(reader.double()),
};

function doubleOf(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}
