import type { Batch, KafkaMessage } from "kafkajs";
import type { StoredRecord } from "./port.ts";

/** Records of a fetched batch, in their order. */
export function storedRecords({ topic, partition, messages }: Batch): readonly StoredRecord[] {
  return messages.map((message) => ({
    topic,
    partition,
    offset: BigInt(message.offset),
    timestampMs: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: headersOf(message),
  }));
}

/** A name that repeats counts with its last value; we write none that do. */
function headersOf({ headers = {} }: KafkaMessage): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const [name, value] of Object.entries(headers)) {
    const last = Array.isArray(value) ? value.at(-1) : value;
    if (last !== undefined) found.set(name, Buffer.from(last));
  }
  return found;
}
