/** Milliseconds since 1970 as an event has it: UTC, exactly three decimals, `Z` (contract, section 1). */
export function eventTime(ms: number): string {
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString();
    lastMs = ms;
  }
  return lastText;
}

let lastMs = Number.NaN;
let lastText = "";
