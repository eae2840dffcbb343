import { CountersignError, eventTime } from "@countersign/model";

/**
 * Milliseconds since 1970 of an event's time.
 * @throws INPUT_INVALID for a time that no clock shows (30 February, 24:00): destinations refuse it or read another day.
 */
export function eventMilliseconds(time: string): number {
  const ms = Date.parse(time);
  if (!Number.isNaN(ms) && eventTime(ms) === time) return ms;
  throw new CountersignError("INPUT_INVALID", "formats: the event's time is none");
}
