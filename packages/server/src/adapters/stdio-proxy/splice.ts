import { META_CALL_PROOF } from "@countersign/model";
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
 * The caller's line as the server gets it: without the call proof, with the trace context set in `params._meta` if there
 * is one. Every other byte is the caller's own, in its place. A `tracestate` that belongs to another `traceparent` goes
 * (W3C Trace Context, section 3.3). A line that needs no change is given back as it is.
 */
export function spliceMeta(
  line: Buffer,
  root: ScannedObject,
  trace: TraceKeys | undefined,
): Buffer {
  const params = member(root, "params")?.object;
  const meta = member(params, "_meta")?.object;
  const set = trace === undefined ? [] : (Object.entries(trace) as [string, string][]);
  const drop = [META_CALL_PROOF];
  if (trace !== undefined && trace.tracestate === undefined) drop.push("tracestate");
  const edits = meta === undefined ? insertion({ root, params }, set) : metaEdits(meta, set, drop);
  return edits.length === 0 ? line : apply(line, edits);
}

interface Outer {
  readonly root: ScannedObject;
  readonly params: ScannedObject | undefined;
}

function insertion({ root, params }: Outer, set: readonly [string, string][]): Edit[] {
  if (set.length === 0) return [];
  const inside = set.map(([key, value]) => property(key, value)).join(",");
  if (params === undefined) return [insertFirst(root, `"params":{"_meta":{${inside}}}`)];
  return [insertFirst(params, `"_meta":{${inside}}`)];
}

function metaEdits(
  meta: ScannedObject,
  set: readonly [string, string][],
  drop: readonly string[],
): Edit[] {
  const out = removals(meta, drop);
  const missing: string[] = [];
  for (const [key, value] of set) {
    const at = member(meta, key);
    if (at === undefined) missing.push(property(key, value));
    else out.push({ start: at.start, end: at.end, text: JSON.stringify(value) });
  }
  if (missing.length > 0) {
    const kept = meta.members.filter(({ key }) => !drop.includes(key));
    out.push(insertFirst({ ...meta, members: kept }, missing.join(",")));
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

/**
 * Takes members out, each with one comma: the one after it, or, where nothing that stays comes after it, the one before.
 * Neighbours that go together are one edit, so that no two edits overlap.
 */
function removals({ members }: ScannedObject, keys: readonly string[]): Edit[] {
  const out: Edit[] = [];
  let kept: Member | undefined;
  for (let index = 0; index < members.length; index += 1) {
    const first = members[index] as Member;
    if (!keys.includes(first.key)) {
      kept = first;
      continue;
    }
    let last = first;
    while (keys.includes(members[index + 1]?.key ?? "")) {
      index += 1;
      last = members[index] as Member;
    }
    const next = members[index + 1];
    const start = next === undefined && kept !== undefined ? kept.end : first.keyStart;
    out.push({ start, end: next?.keyStart ?? last.end, text: "" });
  }
  return out;
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
