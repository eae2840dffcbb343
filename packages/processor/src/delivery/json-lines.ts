// What a `file` exporter wrote, read back line by line while it may go on writing.
import { basename } from "node:path";
import { parseComponentId } from "@countersign/pipeline";
import { filesOf, linesOf } from "../exporters/line-search.ts";

/** The files of one exporter: its own, and those that were written beside it. */
export interface LineSeries {
  readonly id: string;
  readonly directory: string;
  readonly base: string;
}

/** Where a line stands, and the object in it. */
export interface JsonLine {
  /** `<file>:<line>`, lines from 1, the file without its ending. */
  readonly id: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** The series of a `file` exporter. */
export function seriesOf(id: string, directory: string): LineSeries {
  const parsed = parseComponentId(id);
  return { id, directory, base: parsed?.name ?? parsed?.type ?? "file" };
}

/** Every line that is an object, oldest file first. A last line that is not whole yet is left out. Rejects UNAVAILABLE. */
export async function* jsonLines({ id, directory, base }: LineSeries): AsyncGenerator<JsonLine> {
  for (const path of await filesOf(directory, base, id)) {
    let number = 0;
    for await (const line of linesOf([path], id)) {
      number += 1;
      const value = objectIn(line);
      if (value !== undefined) yield { id: `${basename(path, ".jsonl")}:${number}`, value };
    }
  }
}

function objectIn(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
