import { type FieldTable, FieldIndex, fieldTable } from "./field-index.ts";
import { type Message, TRACE_REQUEST } from "./message.ts";

interface Level {
  readonly table: FieldTable;
  /** Number of the field that holds the next level, and at the end the spans. */
  readonly number: number;
}

function level(message: Message, name: string): readonly [Level, Message] {
  const field = message.fields.find((one) => one.name === name);
  if (field === undefined || typeof field.type === "string") throw new Error(`otlp: no ${name}`);
  return [{ table: fieldTable(message), number: field.number }, field.type];
}

const [REQUEST, RESOURCE_SPANS] = level(TRACE_REQUEST, "resourceSpans");
const [RESOURCE, SCOPE_SPANS] = level(RESOURCE_SPANS, "scopeSpans");
const [SCOPE] = level(SCOPE_SPANS, "spans");
const LEVELS: readonly Level[] = [REQUEST, RESOURCE, SCOPE];

/** Spans of a trace request, of which nothing but their places is looked at. Throws INPUT_INVALID when they cannot be found. */
export function countSpans(bytes: Buffer): number {
  return countLevel(new FieldIndex(bytes), 0, bytes.length, 0);
}

function countLevel(index: FieldIndex, start: number, end: number, depth: number): number {
  const { table, number } = LEVELS[depth] as Level;
  const first = index.read(start, end, table, depth);
  const { top } = index;
  let spans = 0;
  for (let record = first; record < top; record += 1) {
    if (index.live(record) !== number) continue;
    spans +=
      depth === LEVELS.length - 1
        ? 1
        : countLevel(index, index.body(record), index.end(record), depth + 1);
  }
  index.top = first;
  return spans;
}
