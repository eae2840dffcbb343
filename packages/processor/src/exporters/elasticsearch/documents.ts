// Events as documents: a line of the format, with the time that a data stream wants.
import { CountersignError, errorCode, type SealedEvent } from "@countersign/model";
import type { Runtime } from "@countersign/pipeline";
import type { Format } from "../../formats/format.ts";
import type { Outcome } from "../outcome.ts";

/** One event on its way. */
export interface Document {
  /** Its index in the batch. */
  readonly index: number;
  readonly event: SealedEvent;
  /** `_id`: see {@link documentId}. */
  readonly id: string;
  readonly line: Uint8Array;
}

/** Makes documents. */
export interface Documents {
  /** Those that the format has a place for. What it cannot express validly is refused in `outcome`, or left out. */
  of(events: readonly SealedEvent[], outcome?: Outcome): Document[];
}

const HASH_DIGITS = 32;

/**
 * The event's own id, and half of its hash. An id alone is what an emitter says: whoever learns one (a decision's is told to the caller)
 * could be first to send something else under it, and what came second would count as there.
 */
export function documentId({ event, hash }: SealedEvent): string {
  return `${event.id}.${hash.slice(0, HASH_DIGITS)}`;
}

/** The event's own id in a {@link documentId}; of an `_id` of others, all of it. */
export function eventIdOf(id: string): string {
  return ID.test(id) ? id.slice(0, -(HASH_DIGITS + 1)) : id;
}

const ID = /\.[\da-f]{32}$/;
const TIMESTAMP = Buffer.from('{"@timestamp":', "utf8");

/** Documents of one format. */
export function createDocuments(format: Format, { id, metrics }: Runtime): Documents {
  const help = "Events of kinds that the format has no place for; not written.";
  const unmapped = metrics.counter("exporter_unmapped_log_records", help, { exporter: id });
  return {
    of(events, outcome) {
      const documents: Document[] = [];
      for (const [index, sealed] of events.entries()) {
        const line = lineOf(format, sealed);
        if (line === "invalid") outcome?.refuse(index, "format_invalid");
        else if (line !== undefined)
          documents.push({
            index,
            event: sealed,
            id: documentId(sealed),
            line: withTimestamp(line, sealed),
          });
        else if (outcome !== undefined) unmapped.add();
      }
      return documents;
    },
  };
}

function lineOf(format: Format, event: SealedEvent): Uint8Array | undefined | "invalid" {
  try {
    return format.line(event);
  } catch (error) {
    if (errorCode(error) !== "INPUT_INVALID") throw error;
    return "invalid";
  }
}

/** A data stream refuses what has no `@timestamp`. The line stays as it is behind it. */
function withTimestamp(line: Uint8Array, { event }: SealedEvent): Uint8Array {
  if (TIMESTAMP.compare(line, 0, TIMESTAMP.length) === 0) return line;
  if (line[0] !== 0x7b)
    throw new CountersignError("BUG", "elasticsearch: the format's line is no JSON object");
  const head = `{"@timestamp":${JSON.stringify(event.time)}${line[1] === 0x7d ? "" : ","}`;
  return Buffer.concat([Buffer.from(head, "utf8"), line.subarray(1)]);
}
