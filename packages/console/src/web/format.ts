function two(n: number): string {
  return String(n).padStart(2, "0");
}

/** Wall-clock time of the reader, to the millisecond: `14:03:22.117`. */
export function clockTime(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/** Day of the reader's calendar, `2026-11-22`. */
export function day(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "";
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** Is it a time of the reader's present day? */
export function isToday(time: string): boolean {
  return day(time) === day(new Date().toISOString());
}

/**
 * What an object id of the authorizer stands for (`alice=40example=2Ecom` is alice@example.com), if it is plain ASCII
 * text; else undefined. Shown beside the id, never instead of it: two ids may read alike.
 */
export function readAs(id: string): string | undefined {
  if (!/=[0-9A-F]{2}/.test(id)) return undefined;
  const text = id.replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}

/** Microseconds for people: `840 µs`, `3.1 ms`, `1.20 s`. */
export function duration(us: number): string {
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 1 : 0)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}

/** The first and last digits of a hash; the whole of it is in the title. */
export function shortHash(hash: string): string {
  return hash.length <= 20 ? hash : `${hash.slice(0, 12)}…${hash.slice(-6)}`;
}

/** An issuer without what all of them have. */
export function shortIssuer(issuer: string): string {
  return issuer.replace(/^https:\/\//, "").replace(/\/$/, "");
}
