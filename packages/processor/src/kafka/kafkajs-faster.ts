// Functions of kafkajs 2.2.4 on the way of every record, with the same results and less work. Only headers of what is read come as a map.
import { crc32c } from "./crc32c.ts";
import { encodeProduce, encodeRequest, type ProduceFields, recordsIn } from "./produce-request.ts";
import { decodeRecord } from "./record-decoder.ts";

/** A module of the library that is one function. */
export interface Replacement {
  readonly path: string;
  readonly make: (original: never) => unknown;
}

type Produce = (fields: ProduceFields) => { readonly encode: () => Promise<unknown> };

/** Records of ours are encoded here; what others send is left to the library. */
function fasterProduce(original: Produce): Produce {
  return (fields) => {
    const request = original(fields);
    const records = recordsIn(fields);
    return records === undefined
      ? request
      : { ...request, encode: () => encodeProduce(fields, records) };
  };
}

interface Grouping {
  readonly topic: string;
  readonly partitionMetadata: readonly unknown[];
  readonly messages: readonly unknown[];
  readonly partitioner: (of: {
    topic: string;
    partitionMetadata: readonly unknown[];
    message: unknown;
  }) => number;
}

/** The same lists, each made once: the library copies the list for every message in it. */
function fasterGrouping(): (of: Grouping) => Record<number, unknown[]> {
  return ({ topic, partitionMetadata, messages, partitioner }) => {
    const lists: Record<number, unknown[]> = {};
    if (partitionMetadata.length === 0) return lists;
    for (const message of messages) {
      (lists[partitioner({ topic, partitionMetadata, message })] ??= []).push(message);
    }
    return lists;
  };
}

/** What is put into the place of what, before anything of the library is loaded that uses it. */
export const FASTER: readonly Replacement[] = [
  { path: "kafkajs/src/protocol/recordBatch/crc32C/index.js", make: () => crc32c },
  { path: "kafkajs/src/protocol/requests/produce/v3/request.js", make: fasterProduce },
  { path: "kafkajs/src/protocol/request.js", make: () => encodeRequest },
  { path: "kafkajs/src/protocol/recordBatch/record/v0/decoder.js", make: () => decodeRecord },
  { path: "kafkajs/src/producer/groupMessagesPerPartition.js", make: fasterGrouping },
];
