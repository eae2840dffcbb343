// SIGHUP: a Collector would read its configuration again. Here it is answered, and nothing else happens.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { embeddedHome } from "./processor-process.ts";

const main = join(import.meta.dirname, "..", "..", "packages", "cli", "src", "main.ts");

test("SIGHUP says that a restart is the reload, and the service goes on until SIGTERM", async () => {
  using home = embeddedHome(0);
  const child = spawn(
    process.execPath,
    ["--conditions=@countersign/source", main, "processor", "--config", home.config],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += `stdout ${chunk.toString()}`));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  try {
    await expect.poll(() => said, { timeout: 20_000 }).toContain("The page: ");
    const page = /The page: (\S+)/.exec(said)?.[1] ?? "";
    child.kill("SIGHUP");
    await expect.poll(() => said, { timeout: 10_000 }).toContain("restart to reload it");
    expect(said.match(/SIGHUP/g)).toHaveLength(1);
    // Still there: the page answers (without its cookie: 401).
    expect((await fetch(page)).status).toBe(401);
    child.kill("SIGTERM");
    expect(await exited).toBe(0);
    expect(said).not.toContain("stdout ");
  } finally {
    child.kill("SIGKILL");
  }
});
