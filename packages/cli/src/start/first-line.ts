import { CliError, EXIT } from "../exit.ts";
import type { Child } from "./children.ts";

const READY_TIMEOUT_MS = 60_000;

/**
 * What a helper of the demonstration says when it is ready: the JSON of its first line.
 *
 * @param what As in `SpiceDB`, for the message.
 * @throws CliError `EXIT.unavailable` with the helper's last words, when it ends first or says nothing in a minute.
 */
export async function firstLine(child: Child, what: string): Promise<unknown> {
  const line = await Promise.race([read(child), child.exited, timeout()]);
  if (typeof line === "string") return JSON.parse(line);
  throw new CliError(
    EXIT.unavailable,
    [`${what} did not start:`, ...child.lastWords().map((words) => `  ${words}`)].join("\n"),
  );
}

async function read(child: Child): Promise<string | undefined> {
  for await (const line of child.lines) return line;
  return undefined;
}

function timeout(): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, READY_TIMEOUT_MS, undefined).unref());
}
