import type { Batch } from "kafkajs";
import type { StoredRecord } from "./port.ts";
import type { DecodedRecord } from "./record-decoder.ts";

/** A message as it comes: by the decoder that was put in front of the library's, or, of formats before v2, without headers. */
type Message = Omit<DecodedRecord, "headers"> & Partial<Pick<DecodedRecord, "headers">>;

const NONE: DecodedRecord["headers"] = new Map();

/** Records of a fetched batch, in their order. */
export function storedRecords({ topic, partition, messages }: Batch): readonly StoredRecord[] {
  return (messages as unknown as readonly Message[]).map((message) => ({
    topic,
    partition,
    offset: BigInt(message.offset),
    timestampMs: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: message.headers ?? NONE,
  }));
}
