import type { DecisionFilter, PageRequest, StatsRequest } from "@countersign/archive";
import { PAGE_MAX_ROWS, STATS_MAX_BUCKETS } from "@countersign/archive";

/** A parameter that cannot be used; the message names the parameter and the rule, never the value. */
export class BadParameter extends Error {}

const TEXT_MAX_CHARACTERS = 1100;
const UNIT_MS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** One rule per parameter: what it must look like, and in words. */
const RULES: Record<string, { readonly form: RegExp; readonly words: string }> = {
  decision: { form: /^(allow|deny|error)$/, words: "allow, deny or error" },
  reason: { form: /^[a-z_]{1,64}$/, words: "a reason such as `forbidden`" },
  trace: { form: /^[0-9a-f]{32}$/, words: "32 lower-case hex digits" },
  limit: { form: /^[1-9]\d{0,2}$/, words: `1 to ${PAGE_MAX_ROWS}` },
  cursor: { form: /^-?\d{1,16}\.\d{1,16}$/, words: "the `next` of the page before" },
  since: {
    form: /^(\d{1,5}[smhd]|\d{4}-\d\d-\d\dT[0-9:.]+Z)$/,
    words: "like 15m, 24h, 7d, or RFC 3339 in UTC",
  },
  until: {
    form: /^(\d{1,5}[smhd]|\d{4}-\d\d-\d\dT[0-9:.]+Z)$/,
    words: "like 15m, 24h, 7d, or RFC 3339 in UTC",
  },
  bucket: { form: /^\d{1,5}[mhd]$/, words: "like 1m, 1h, 1d" },
};

/** API parameter → member of the filter. */
const FILTERS = {
  decision: "decision",
  reason: "reason",
  issuer: "issuer",
  human: "human",
  method: "method",
  tool: "tool",
  server: "server",
  emitter: "emitter",
  trace: "traceId",
  resource: "resource",
  q: "text",
} as const satisfies Record<string, keyof DecisionFilter>;

const FILTER_NAMES: readonly string[] = [...Object.keys(FILTERS), "since", "until"];

/** Checks that every parameter is known, given once, bounded, and of its form. */
function checked(query: URLSearchParams, known: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const [name, value] of query) {
    if (!known.includes(name))
      throw new BadParameter(`unknown parameter; known here: ${known.join(", ")}`);
    if (values.has(name)) throw new BadParameter(`${name}: given more than once`);
    const problem = problemOf(name, value);
    if (problem !== undefined) throw new BadParameter(`${name}: ${problem}`);
    values.set(name, value);
  }
  return values;
}

function problemOf(name: string, value: string): string | undefined {
  if (value.length === 0) return "is empty; leave it out instead";
  if (value.length > TEXT_MAX_CHARACTERS) return `is longer than ${TEXT_MAX_CHARACTERS} characters`;
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(value)) return "holds a control character";
  const rule = RULES[name];
  return rule === undefined || rule.form.test(value) ? undefined : `must be ${rule.words}`;
}

/** The filter that a query string describes. Throws BadParameter. */
export function parseFilter(
  query: URLSearchParams,
  nowMs: number,
  more: readonly string[] = [],
): DecisionFilter {
  const values = checked(query, [...FILTER_NAMES, ...more]);
  const filter: Record<string, string | number> = {};
  for (const [name, member] of Object.entries(FILTERS)) {
    const value = values.get(name);
    if (value !== undefined) filter[member] = value;
  }
  const since = timeOf(values, "since", nowMs);
  const until = timeOf(values, "until", nowMs);
  if (since !== undefined) filter["sinceMs"] = since;
  if (until !== undefined) filter["untilMs"] = until;
  return filter;
}

/** `limit` and `cursor`; call it after `parseFilter`, which has checked both. */
export function parsePage(query: URLSearchParams): PageRequest {
  const cursor = query.get("cursor");
  const limit = Number(query.get("limit") ?? 50);
  if (limit > PAGE_MAX_ROWS) throw new BadParameter(`limit: must be 1 to ${PAGE_MAX_ROWS}`);
  return { limit, ...(cursor === null ? {} : { cursor }) };
}

/** Time and width of the counts: by default the last hour by the minute. Throws BadParameter. */
export function parseStats(query: URLSearchParams, nowMs: number): StatsRequest {
  const values = checked(query, ["since", "until", "bucket"]);
  const untilMs = timeOf(values, "until", nowMs) ?? nowMs;
  const sinceMs = timeOf(values, "since", nowMs) ?? untilMs - UNIT_MS.h;
  const bucketMs = spanOf(values.get("bucket") ?? "1m");
  const count = (untilMs - sinceMs) / bucketMs;
  if (!(count > 0 && count < STATS_MAX_BUCKETS)) {
    throw new BadParameter(
      `bucket: gives ${count > 0 ? "too many" : "no"} buckets; 1 to ${STATS_MAX_BUCKETS - 1} are served`,
    );
  }
  return { sinceMs, untilMs, bucketMs };
}

function timeOf(values: Map<string, string>, name: string, nowMs: number): number | undefined {
  const value = values.get(name);
  if (value === undefined) return undefined;
  if (/^\d+[smhd]$/.test(value)) return nowMs - spanOf(value);
  const timeMs = Date.parse(value);
  if (Number.isNaN(timeMs)) throw new BadParameter(`${name}: must be ${RULES["since"]?.words}`);
  return timeMs;
}

function spanOf(value: string): number {
  const spanMs = Number(value.slice(0, -1)) * UNIT_MS[value.at(-1) as keyof typeof UNIT_MS];
  if (spanMs === 0) throw new BadParameter("a time span of zero is of no use");
  return spanMs;
}
