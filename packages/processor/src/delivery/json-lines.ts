// What a `file` exporter wrote, read back line by line while it may go on writing.
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { CountersignError } from "@countersign/model";
import { parseComponentId } from "@countersign/pipeline";

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
export async function* jsonLines(series: LineSeries): AsyncGenerator<JsonLine> {
  for (const name of await filesOf(series)) {
    const handle = await open(join(series.directory, name), "r");
    try {
      let number = 0;
      for await (const line of handle.readLines({ encoding: "utf8" })) {
        number += 1;
        const value = objectIn(line);
        if (value !== undefined)
          yield { id: `${name.slice(0, -".jsonl".length)}:${number}`, value };
      }
    } finally {
      await handle.close();
    }
  }
}

async function filesOf({ id, directory, base }: LineSeries): Promise<readonly string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter(
        (name) =>
          name.endsWith(".jsonl") &&
          (name.startsWith(`${base}-`) || name.startsWith(`${base}.again.`)),
      )
      .toSorted();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "error";
    if (code === "ENOENT") return [];
    throw new CountersignError("UNAVAILABLE", `${id}: cannot read ${directory} (${code})`, {
      cause,
    });
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
