import { type Member, type ScannedObject, member } from "./scan.ts";

/** A change of the caller's bytes: `[start, end)` becomes `text`. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The trace context to put into `params._meta` (SEP-414). */
export interface TraceKeys {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/**
 * The caller's line with the trace context set in `params._meta`; every other byte is the caller's own, in its place. A
 * `tracestate` that belongs to another `traceparent` goes (W3C Trace Context, section 3.3).
 */
export function spliceTrace(line: Buffer, root: ScannedObject, trace: TraceKeys): Buffer {
  return apply(line, edits(root, trace));
}

function edits(root: ScannedObject, trace: TraceKeys): Edit[] {
  const wanted = Object.entries(trace) as [string, string][];
  const params = member(root, "params")?.object;
  const meta = member(params, "_meta")?.object;
  const inside = wanted.map(([key, value]) => property(key, value)).join(",");
  if (params === undefined) return [insertFirst(root, `"params":{"_meta":{${inside}}}`)];
  if (meta === undefined) return [insertFirst(params, `"_meta":{${inside}}`)];
  return metaEdits(meta, wanted, trace.tracestate === undefined);
}

function metaEdits(
  meta: ScannedObject,
  wanted: readonly [string, string][],
  dropState: boolean,
): Edit[] {
  const out: Edit[] = [];
  const missing: string[] = [];
  for (const [key, value] of wanted) {
    const at = member(meta, key);
    if (at === undefined) missing.push(property(key, value));
    else out.push({ start: at.start, end: at.end, text: JSON.stringify(value) });
  }
  if (dropState) out.push(...removal(meta, "tracestate"));
  if (missing.length > 0) {
    const removedAll = dropState && meta.members.every(({ key }) => key === "tracestate");
    out.push(insertFirst(removedAll ? { ...meta, members: [] } : meta, missing.join(",")));
  }
  return out.toSorted((a, b) => a.start - b.start || a.end - b.end);
}

function property(key: string, value: string): string {
  return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
}

function insertFirst(object: ScannedObject, text: string): Edit {
  const at = object.start + 1;
  return { start: at, end: at, text: object.members.length === 0 ? text : `${text},` };
}

/** Takes a member out, with the comma that belongs to it. */
function removal(object: ScannedObject, key: string): Edit[] {
  const index = object.members.findIndex((one) => one.key === key);
  if (index === -1) return [];
  const gone = object.members[index] as Member;
  const next = object.members[index + 1];
  const previous = object.members[index - 1];
  const start = next === undefined && previous !== undefined ? previous.end : gone.keyStart;
  return [{ start, end: next?.keyStart ?? gone.end, text: "" }];
}

function apply(line: Buffer, changes: readonly Edit[]): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (const { start, end, text } of changes) {
    parts.push(line.subarray(from, start), Buffer.from(text));
    from = end;
  }
  parts.push(line.subarray(from));
  return Buffer.concat(parts);
}
