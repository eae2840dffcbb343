import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { needlesOf, searchDirectory } from "./leak-search.ts";

const SECRET = "4111 1111 1111 1111";
const needles = needlesOf("card", SECRET);
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "leak-search-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const le = Buffer.from(SECRET, "utf16le");
const hidden: [string, Buffer][] = [
  ["plain", Buffer.from(`x ${SECRET} y`)],
  ["base64, whole", Buffer.from(Buffer.from(SECRET).toString("base64"))],
  ["base64, after 1", Buffer.from(Buffer.from(`a${SECRET}zz`).toString("base64"))],
  ["base64, after 2", Buffer.from(Buffer.from(`ab${SECRET}z`).toString("base64"))],
  [
    "base64, after 100",
    Buffer.from(Buffer.from(`${"a".repeat(100)}${SECRET}z`).toString("base64")),
  ],
  ["base64url", Buffer.from(Buffer.from(`ab${SECRET}z`).toString("base64url"))],
  ["hex", Buffer.from(Buffer.from(SECRET).toString("hex"))],
  ["HEX", Buffer.from(Buffer.from(SECRET).toString("hex").toUpperCase())],
  ["URL", Buffer.from(encodeURIComponent(SECRET))],
  ["UTF-16LE", Buffer.concat([Buffer.from("xx"), le])],
  ["UTF-16BE", Buffer.from(le).swap16()],
  ["gzip", gzipSync(`x ${SECRET} y`)],
  ["JSON", Buffer.from(JSON.stringify({ a: [SECRET] }))],
];

test.each(hidden)("finds a secret that is hidden as %s", (_name, bytes) => {
  writeFileSync(join(directory, "planted"), bytes);
  const { files, leaks } = searchDirectory(directory, needles);
  expect(files).toBe(1);
  expect(leaks.length).toBeGreaterThan(0);
});

test("finds a secret in a name", () => {
  writeFileSync(join(directory, SECRET), "");
  expect(searchDirectory(directory, needles).leaks).not.toEqual([]);
});

test("finds nothing where nothing is", () => {
  writeFileSync(join(directory, "innocent"), "4111 1111 1111 1112 and some text");
  expect(searchDirectory(directory, needles)).toEqual({ files: 1, leaks: [] });
});
