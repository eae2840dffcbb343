import { join } from "node:path";
import type { Children } from "./children.ts";
import { firstLine } from "./first-line.ts";

/** A SpiceDB that holds the demonstration's schema and relationships. */
export interface DemoSpicedb {
  /** `host:port`. */
  readonly endpoint: string;
  /** Where it comes from: an endpoint of the environment, a binary on PATH, or the npm package. */
  readonly engine: "endpoint" | "binary" | "embedded";
}

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
  return (await firstLine(child, "SpiceDB")) as DemoSpicedb;
}
