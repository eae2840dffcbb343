import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeFrame, findFrame } from "@countersign/journal";
import { type CountersignEvent, unseal } from "@countersign/model";

/** Every sealed event below a journal directory, in the order of files and frames. */
export function readJournal(directory: string): CountersignEvent[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".wal"))
    .toSorted()
    .flatMap((file) => eventsOf(readFileSync(join(directory, file))));
}

function eventsOf(bytes: Buffer): CountersignEvent[] {
  const events: CountersignEvent[] = [];
  for (let at = findFrame(bytes, 0); at !== undefined;) {
    const frame = decodeFrame(bytes, at);
    if (typeof frame === "string") break;
    events.push(unseal(Buffer.from(frame.body)).event);
    at = findFrame(bytes, frame.end);
  }
  return events;
}
