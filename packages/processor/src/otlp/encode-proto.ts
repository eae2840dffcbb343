import type { Field, Message, ScalarType } from "./message.ts";
import { WireWriter } from "./wire.ts";

type Bag = Readonly<Record<string, unknown>>;

/** Writes a value in the form of the JSON mapping as protobuf. Members that are not described are left out. */
export function encodeProto(value: object, message: Message): Buffer {
  return write(value as Bag, message).finish();
}

function write(value: Bag, message: Message): WireWriter {
  const writer = new WireWriter();
  for (const field of message.fields) {
    const item = value[field.name];
    if (item === undefined) continue;
    if (field.repeated === true)
      for (const one of item as unknown[]) writeField(writer, field, one);
    else writeField(writer, field, item);
  }
  return writer;
}

function writeField(writer: WireWriter, field: Field, value: unknown): void {
  const { number, type } = field;
  if (typeof type !== "string") writer.messageField(number, write(value as Bag, type));
  else WRITERS[type](writer, number, value, field.choice === true);
}

type Write = (writer: WireWriter, number: number, value: unknown, always: boolean) => void;

/** proto3 leaves out what has its default value, but not in a `oneof`. */
const WRITERS: Readonly<Record<ScalarType, Write>> = {
  string: (writer, number, value, always) => {
    if (always || value !== "") writer.bytesField(number, Buffer.from(value as string, "utf8"));
  },
  hex: (writer, number, value) => {
    if (value !== "") writer.bytesField(number, Buffer.from(value as string, "hex"));
  },
  base64: (writer, number, value) =>
    writer.bytesField(number, Buffer.from(value as string, "base64")),
  bool: (writer, number, value, always) => {
    if (always || value === true) writer.varintField(number, value === true ? 1n : 0n);
  },
  uint32: varint,
  enum: varint,
  int64: varint,
  fixed64: (writer, number, value) => {
    if (value !== "0") writer.fixed64Field(number, BigInt(value as string));
  },
  fixed32: (writer, number, value) => {
    if (value !== 0) writer.fixed32Field(number, value as number);
  },
  double: (writer, number, value) => writer.doubleField(number, Number(value)),
};

function varint(writer: WireWriter, number: number, value: unknown, always: boolean): void {
  const big = BigInt(value as string | number);
  if (always || big !== 0n) writer.varintField(number, big);
}
