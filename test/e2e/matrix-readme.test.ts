// The examples of the two READMEs, run as they stand.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Scene, eventually, makeScene, run } from "./fixtures/sdk/harness.ts";
import { readJournal } from "./fixtures/sdk/journal-events.ts";

const root = join(import.meta.dirname, "..", "..");

function example(name: string): string {
  const readme = readFileSync(join(root, "packages", name, "README.md"), "utf8");
  const code = /```js\n(.*?)```/s.exec(readme)?.[1] ?? "";
  expect(code.trim().split("\n").length).toBeLessThanOrEqual(11);
  return code;
}

let scene: Scene;
beforeEach(() => {
  scene = makeScene();
});
afterEach(() => scene.remove());

const request = (id: number, method: string, params: object): string =>
  `${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`;

test("server: the instrumented server answers whom it may, and has it on record", async () => {
  const { child, ended } = run(["--input-type=module", "-e", example("server")], scene.env);
  let stdout = "";
  child.stdout?.on("data", (chunk: string) => (stdout += chunk));
  child.stdin?.write(
    request(1, "initialize", {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "a", version: "1" },
    }) +
      request(2, "tools/call", { name: "read_ticket", arguments: { id: "T-1" } }) +
      request(3, "tools/call", { name: "read_ticket", arguments: { id: "T-2" } }),
  );
  await eventually(
    () => stdout.includes('"id":2') && stdout.includes('"id":3'),
    () => stdout,
  );
  child.stdin?.end();
  expect((await ended).code).toBe(0);
  expect(stdout).toContain("ticket T-1");
  expect(stdout).toContain("Access denied. Reference: ");
  expect(readJournal(scene.journal).map(({ type }) => type.split(".").at(2))).toEqual(
    expect.arrayContaining(["start", "decision", "decision", "outcome"]),
  );
});

test("client: the instrumented client calls", async () => {
  const { code, stdout } = await run(
    ["--input-type=module", "-e", example("client").replace('"server.js"', '"plain-server.mjs"')],
    scene.env,
  ).ended;
  expect(code).toBe(0);
  expect(stdout).toContain("plain");
});
