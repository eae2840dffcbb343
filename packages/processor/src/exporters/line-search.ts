// What files of lines hold: whether lines are there, and which events of a span of time.
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { CountersignError } from "@countersign/model";
import type { FormatName } from "../formats/formats.ts";

const NUMBERED = /^(?:\.again\.[\da-f]+)?-\d{8}\.jsonl$/;

/**
 * The files of a series, oldest first: those that the service wrote, then those that replays and redrives wrote beside it. None when the
 * directory is not there. Rejects UNAVAILABLE; `id` is for the message.
 */
export async function filesOf(directory: string, base: string, id: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names
      .filter((name) => name.startsWith(base) && NUMBERED.test(name.slice(base.length)))
      .toSorted()
      .map((name) => join(directory, name));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw unreadable(directory, id, cause);
  }
}

/**
 * The lines of files, one after the other; what is written meanwhile may be missed. A line ends with a newline and with nothing else:
 * `readline` takes U+2028 for an end, which JSON does not escape. Rejects UNAVAILABLE; `id` is for the message.
 */
export async function* linesOf(files: readonly string[], id: string): AsyncIterable<string> {
  for (const file of files) {
    let rest = "";
    try {
      for await (const chunk of createReadStream(file, "utf8") as AsyncIterable<string>) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        yield* lines;
      }
    } catch (cause) {
      throw unreadable(file, id, cause);
    }
  }
}

function unreadable(path: string, id: string, cause: unknown): CountersignError {
  const code = (cause as NodeJS.ErrnoException).code ?? "error";
  const message = `${id}: cannot read ${path} (${code}); fix its permissions`;
  return new CountersignError("UNAVAILABLE", message, { cause });
}

/** Which event a line is of. */
export interface LineEvent {
  readonly id: string;
  readonly timeMs: number;
}

/** Reads the event of a line that we wrote; undefined for what is none: a letter, a line of others. */
export function lineEvent(format: FormatName, line: string): LineEvent | undefined {
  try {
    const { id, time } = READERS[format](line);
    const timeMs = typeof time === "number" ? time : Date.parse(String(time));
    return typeof id === "string" && Number.isFinite(timeMs) ? { id, timeMs } : undefined;
  } catch {
    return undefined;
  }
}

interface Found {
  readonly id: unknown;
  readonly time: unknown;
}

const READERS: Readonly<Record<FormatName, (line: string) => Found>> = {
  native: (line) => JSON.parse(line) as Found,
  ocsf: (line) => {
    const { metadata, time } = JSON.parse(line) as { metadata: { uid: string }; time: number };
    return { id: metadata.uid, time };
  },
  ecs: (line) => {
    const { event, "@timestamp": time } = JSON.parse(line) as {
      event: { id: string };
      "@timestamp": string;
    };
    return { id: event.id, time };
  },
  // Both stand before anything that an event says of itself, and have no character that is escaped.
  cef: (line) => ({
    id: / externalId=([^ ]+)/.exec(line)?.[1],
    time: Number(/\|rt=(\d+)/.exec(line)?.[1]),
  }),
  leef: (line) => ({
    id: /\tid=([^\t]+)/.exec(line)?.[1],
    time: /\|devTime=([^\t]+)/.exec(line)?.[1],
  }),
};
