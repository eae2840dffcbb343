import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { openLineFile } from "./line-file.ts";

const made: string[] = [];
afterEach(() => {
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "countersign-lines-"));
  made.push(directory);
  return directory;
}

const options = (directory: string, more: object = {}) => ({
  directory,
  base: "siem",
  mode: 0o640,
  maxBytes: 100,
  id: "file/siem",
  ...more,
});
const line = (text: string): Uint8Array => Buffer.from(text);
const read = (directory: string): string[] =>
  readdirSync(directory)
    .toSorted()
    .map((file) => readFileSync(join(directory, file), "utf8"));

test("lines of calls at the same time keep together, and files start anew beyond the size", async () => {
  const directory = scratch();
  const file = await openLineFile(options(directory));
  const calls = Array.from({ length: 10 }, (_, index) => [
    line(`a${index}`.padEnd(20, ".")),
    line(`b${index}`.padEnd(20, ".")),
  ]);
  await Promise.all(calls.map((lines) => file.append(lines)));
  await file.close();
  const files = read(directory);
  expect(files.length).toBe(5);
  expect(files.join("")).toBe(
    calls.map((lines) => lines.map((one) => `${Buffer.from(one).toString()}\n`).join("")).join(""),
  );
  expect(readdirSync(directory).toSorted()[0]).toBe("siem-00000001.jsonl");
});

test("permission bits are those of the configuration, whatever the umask", async () => {
  const directory = scratch();
  const before = process.umask(0o077);
  try {
    const file = await openLineFile(options(directory));
    await file.append([line("x")]);
    await file.close();
  } finally {
    process.umask(before);
  }
  expect(statSync(join(directory, "siem-00000001.jsonl")).mode & 0o777).toBe(0o640);
});

test("a line that a crash cut short is cut off, what was whole stays, and it goes on there", async () => {
  const directory = scratch();
  const first = await openLineFile(options(directory));
  await first.append([line("one"), line("two")]);
  await first.close();
  appendFileSync(join(directory, "siem-00000001.jsonl"), '{"torn":');
  const second = await openLineFile(options(directory));
  await second.append([line("three")]);
  await second.close();
  expect(read(directory)).toEqual(["one\ntwo\nthree\n"]);
});

test("a file that is nothing but a torn line is emptied; one of others is left alone", async () => {
  const directory = scratch();
  writeFileSync(join(directory, "siem-00000007.jsonl"), "x".repeat(200_000));
  writeFileSync(join(directory, "other-00000009.jsonl"), "torn");
  const file = await openLineFile(options(directory));
  await file.append([line("a")]);
  await file.close();
  expect(readFileSync(join(directory, "siem-00000007.jsonl"), "utf8")).toBe("a\n");
  expect(readFileSync(join(directory, "other-00000009.jsonl"), "utf8")).toBe("torn");
});

test("files start anew when the newest is old, also one of an earlier life", async () => {
  const directory = scratch();
  const first = await openLineFile(options(directory, { maxAgeMs: 3_600_000 }));
  await first.append([line("one")]);
  await first.append([line("two")]);
  await first.close();
  const later = Date.now() + 3_600_000;
  vi.spyOn(Date, "now").mockReturnValue(later);
  const second = await openLineFile(options(directory, { maxAgeMs: 3_600_000 }));
  await second.append([line("three")]);
  await second.append([line("four")]);
  await second.close();
  vi.restoreAllMocks();
  expect(read(directory)).toEqual(["one\ntwo\n", "three\nfour\n"]);
});

test("a directory that cannot be made is UNAVAILABLE", async () => {
  const directory = scratch();
  writeFileSync(join(directory, "file"), "");
  await expect(openLineFile(options(join(directory, "file", "below")))).rejects.toMatchObject({
    code: "UNAVAILABLE",
  });
});
