/** Milliseconds since 1970 of an event's time. */
export function eventMilliseconds(time: string): number {
  return Date.parse(time);
}
