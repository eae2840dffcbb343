import { join } from "node:path";
import type { Children } from "./children.ts";
import { firstLine } from "./first-line.ts";

/** Starts the demonstration's identity provider and gives its issuer. Rejects with `EXIT.unavailable` and its last words. */
export async function startIdp(
  children: Children,
  demo: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const child = children.start({ name: "idp", args: [join(demo, "idp.ts")], cwd: demo, env });
  const { issuer } = (await firstLine(child, "the identity provider")) as { issuer: string };
  return issuer;
}
