// What files of lines hold: whether lines are there, and which events of a span of time.
import { createReadStream } from "node:fs";
import type { FormatName } from "../formats/formats.ts";

/**
 * The lines of files, one after the other; what is written meanwhile may be missed. A line ends with a newline and with nothing else:
 * `readline` takes U+2028 for an end, which JSON does not escape. Rejects as the file system does.
 */
export async function* linesOf(files: readonly string[]): AsyncIterable<string> {
  for (const file of files) {
    let rest = "";
    for await (const chunk of createReadStream(file, "utf8") as AsyncIterable<string>) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
  }
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
