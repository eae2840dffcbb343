/** Milliseconds since 1970 as an event has it: UTC, exactly three decimals, `Z` (contract, section 1). */
export function eventTime(ms: number): string {
  return new Date(ms).toISOString();
}
