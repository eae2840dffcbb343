import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { addressOf } from "../testing/strict-opener.ts";
import { createStartPage } from "./start-page.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "a b%20c "));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const HOSTILE = `https://idp.example/a'b;c?x=1&y="><script>alert(1)</script>&lt;&z= ;url=//evil.example`;

test("the page and its directory are this user's alone", async () => {
  const before = process.umask(0);
  try {
    const file = fileURLToPath(createStartPage(directory).write("https://idp.example/"));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(dirname(file))).mode & 0o777).toBe(0o700);
    expect(dirname(dirname(file))).toBe(directory);
  } finally {
    process.umask(before);
  }
});

test("it leads to the address, whatever is in it, without a script and without a referrer", async () => {
  const html = await readFile(new URL(createStartPage(directory).write(HOSTILE)), "utf8");
  expect(addressOf(html)).toBe(new URL(HOSTILE).href);
  expect(html).not.toContain("<script");
  expect(html).toContain('<meta name="referrer" content="no-referrer">');
  expect(html).toContain('rel="noreferrer"');
  expect(html).toContain("default-src 'none'");
  const harmless = createStartPage(directory).write("https://idp.example/");
  const quotes = (await readFile(new URL(harmless), "utf8")).match(/["']/g);
  expect(html.match(/["']/g)).toEqual(quotes); // none came with the address
});

test("it is removed, and each page of a login with it", async () => {
  const listeners = process.listenerCount("exit");
  const page = createStartPage(directory);
  expect(await readdir(directory)).toEqual([]);
  page.write("https://idp.example/1");
  page.write("https://idp.example/2");
  expect(await readdir(directory)).toHaveLength(2);
  expect(process.listenerCount("exit")).toBe(listeners + 1);
  page.remove();
  page.remove();
  expect(await readdir(directory)).toEqual([]);
  expect(process.listenerCount("exit")).toBe(listeners);
});

test("it is removed with a process that ends before", async () => {
  const module = join(import.meta.dirname, "start-page.ts");
  const script = `import { createStartPage } from ${JSON.stringify(module)};
createStartPage(process.argv[1]).write("https://idp.example/");
process.exit(2);`;
  const args = ["--input-type=module", "--experimental-strip-types", "-e", script, directory];
  expect(spawnSync(process.execPath, args).status).toBe(2);
  expect(await readdir(directory)).toEqual([]);
});

test("what a killed process left goes with the next login, but nothing that may be in use", async () => {
  const hourAgo = Date.now() / 1000 - 3700;
  for (const name of [".start-killed", "other"]) {
    await mkdir(join(directory, name));
    await utimes(join(directory, name), hourAgo, hourAgo);
  }
  await mkdir(join(directory, ".start-in-use"));
  const page = createStartPage(directory);
  page.write("https://idp.example/");
  page.remove();
  expect((await readdir(directory)).toSorted()).toEqual([".start-in-use", "other"]);
});
