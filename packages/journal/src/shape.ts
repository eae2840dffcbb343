// What is read back from the disk may be anybody's: nothing of it is taken for what it should be.

/** A whole number from 0 that a double holds. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Lower-case hex of so many digits. */
export function isHex(value: unknown, digits: number): value is string {
  return typeof value === "string" && value.length === digits && /^[0-9a-f]+$/.test(value);
}
