import { errorCode, type SealedEvent } from "@countersign/model";
import type { Decisions, Runtime } from "@countersign/pipeline";
import type { Format } from "../formats/format.ts";
import type { Outcome } from "./outcome.ts";

/** An event as its destination gets it. */
export interface Mapped {
  /** Its place in the batch. */
  readonly index: number;
  readonly event: SealedEvent;
  /** A line of the format, without a newline. */
  readonly line: Uint8Array;
}

/** Events of a batch in a format. What the format has no place for is counted, what it cannot express validly is refused. */
export function mapEvents(
  batch: Decisions,
  format: Format,
  { runtime, outcome }: { runtime: Runtime; outcome: Outcome },
): Mapped[] {
  const mapped: Mapped[] = [];
  for (const [index, event] of batch.events.entries()) {
    try {
      const line = format.line(event);
      if (line === undefined) countUnmapped(runtime);
      else mapped.push({ index, event, line });
    } catch (error) {
      if (errorCode(error) !== "INPUT_INVALID") throw error;
      outcome.refuse(index, "format_invalid");
    }
  }
  return mapped;
}

function countUnmapped({ id, metrics }: Runtime): void {
  const help = "Events of kinds that the format has no place for; not written.";
  metrics.counter("exporter_unmapped_log_records", help, { exporter: id }).add();
}
