import { FieldIndex } from "./field-index.ts";
import { type Level, levelsOf } from "./levels.ts";
import { TRACE_REQUEST } from "./message.ts";

const { levels: LEVELS } = levelsOf(TRACE_REQUEST, ["resourceSpans", "scopeSpans", "spans"]);

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
