import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Child, type Children, createChildren } from "./children.ts";

let directory: string;
let children: Children;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "children-"));
  children = createChildren(join(directory, "logs"));
});
afterEach(async () => {
  await children.stop();
  rmSync(directory, { recursive: true });
});

function node(script: string): Child {
  return children.start({ name: "child", args: ["-e", script], cwd: directory, env: process.env });
}

async function firstLine(child: Child): Promise<string | undefined> {
  for await (const line of child.lines) return line;
  return undefined;
}

test("lines, exit code, and the last words with nothing that a terminal obeys", async () => {
  const child = node(
    `console.log("one"); console.error("bad\\u001b[2J news"); process.exitCode = 3`,
  );
  expect(await firstLine(child)).toBe("one");
  expect(await child.exited).toBe(3);
  expect(child.lastWords()).toEqual(["bad\\u{1B}[2J news"]);
});

test("input is all that a child reads", async () => {
  const child = children.start({
    name: "reader",
    args: ["-e", "process.stdin.pipe(process.stdout)"],
    cwd: directory,
    env: process.env,
    input: "once\n",
  });
  expect(await firstLine(child)).toBe("once");
  expect(await child.exited).toBe(0);
});

test("stop ends a child that would stay, and resolves when it is gone", async () => {
  const child = node(`console.log(process.pid); setInterval(() => {}, 1e6)`);
  const pid = Number(await firstLine(child));
  await children.stop();
  expect(await child.exited).toBe(-1);
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
});

test("nothing starts after stop", async () => {
  await children.stop();
  expect(() => node("0")).toThrow("stopping");
});

test("a program that is not there is an exit, not a crash", async () => {
  const child = children.start({ name: "none", args: ["missing.js"], cwd: directory, env: {} });
  expect(await child.exited).toBe(1);
  expect(child.lastWords().join("\n")).toContain("MODULE_NOT_FOUND");
});
