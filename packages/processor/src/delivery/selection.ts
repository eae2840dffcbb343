// What of a log is wanted: stretches of its partitions, and which events in them.
import { CountersignError, type SealedEvent } from "@countersign/model";
import type { PartitionBounds } from "../kafka/port.ts";
import type { LogSource } from "./log-source.ts";

/** By place, by time, or by who sealed it; `emitter` and times go together. */
export interface Selection {
  /** Stretches by partition, ends included. */
  readonly offsets?: readonly { partition: number; first: bigint; last: bigint }[];
  /** Of the event's own time: from, and until before. */
  readonly fromMs?: number;
  readonly untilMs?: number;
  readonly emitter?: string;
  /** The epoch's id, or its number in decimal: the log must then hold the epoch's start. */
  readonly epoch?: string;
}

/** The stretches to read. Throws CONFIG_INVALID for a place that the log does not have (any more). */
export async function stretchesOf(
  source: LogSource,
  selection: Selection,
): Promise<readonly PartitionBounds[]> {
  const { offsets, fromMs } = selection;
  if (offsets !== undefined) return offsets.map((wanted) => inside(source, wanted));
  if (fromMs === undefined) return source.bounds;
  const from = await source.firstAt(fromMs);
  return source.bounds.map(({ partition, first, end }) => {
    const at = from.get(partition) ?? first;
    return { partition, first: at > first ? (at < end ? at : end) : first, end };
  });
}

function inside(
  source: LogSource,
  { partition, first, last }: { partition: number; first: bigint; last: bigint },
): PartitionBounds {
  const there = source.bounds.find((one) => one.partition === partition);
  const range = there === undefined ? "none" : `${there.first} to ${there.end - 1n}`;
  if (there === undefined || first < there.first || last >= there.end || first > last) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `replay: ${source.name} partition ${partition} does not hold ${first} to ${last}; it holds ${range}`,
    );
  }
  return { partition, first, end: last + 1n };
}

/** Which events are wanted. Asked in the order of the log: a start tells the number of its epoch. */
export function createPredicate(selection: Selection): (event: SealedEvent) => boolean {
  const { fromMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY } = selection;
  const { emitter, epoch } = selection;
  const timed = selection.fromMs !== undefined || selection.untilMs !== undefined;
  let epochId = epoch !== undefined && /^[0-9a-f]{32}$/.test(epoch) ? epoch : undefined;
  return ({ event }) => {
    if (timed) {
      const timeMs = Date.parse(event.time);
      if (timeMs < fromMs || timeMs >= untilMs) return false;
    }
    if (emitter === undefined) return true;
    const place = placeIn(event.data);
    if (place?.emitter !== emitter) return false;
    if (epoch === undefined) return true;
    if ("epochNumber" in event.data && String(event.data.epochNumber) === epoch)
      epochId = place.epoch;
    return place.epoch === epochId;
  };
}

/** Of a chain, or of what a withheld event or a finding is about. */
function placeIn(data: object): { emitter: string; epoch: string } | undefined {
  const { chain, of } = data as Record<string, { emitter: string; epoch: string } | undefined>;
  return chain ?? of;
}
