import { CountersignError, type ErrorCode } from "@countersign/model";
import { expect, test } from "vitest";
import { CliError, describe, EXIT, exitCodeOf } from "./exit.ts";

test.each<[ErrorCode, number]>([
  ["CONFIG_INVALID", 78],
  ["INPUT_INVALID", 1],
  ["REJECTED", 1],
  ["OVERLOADED", 69],
  ["UNAVAILABLE", 69],
  ["CANCELLED", 2],
  ["BUG", 70],
])("%s exits with %i", (code, exit) => {
  expect(exitCodeOf(new CountersignError(code, "gate: told"))).toBe(exit);
});

test.each([
  ["ENOENT", 66],
  ["EACCES", 73],
  ["ENOSPC", 73],
  ["EADDRINUSE", 69],
  ["ESOMETHING", 70],
])("the system's %s exits with %i", (code, exit) => {
  expect(exitCodeOf(Object.assign(new Error("x"), { code }))).toBe(exit);
});

test.each([
  ["UNAVAILABLE", "ENOSPC", 73],
  ["UNAVAILABLE", "ENOTDIR", 73],
  ["UNAVAILABLE", "ECONNREFUSED", 69],
  ["CONFIG_INVALID", "EACCES", 78],
] as const)("%s because of %s exits with %i", (code, system, exit) => {
  const cause = Object.assign(new Error("x"), { code: system });
  expect(exitCodeOf(new CountersignError(code, "identity: told", { cause }))).toBe(exit);
});

test("a command's own failure keeps its code and its words", () => {
  const error = new CliError(EXIT.noInput, "cannot read p.yaml: it is not there");
  expect(exitCodeOf(error)).toBe(66);
  expect(describe(error)).toBe("cannot read p.yaml: it is not there");
});

test("the text of an error that is not ours is never repeated: it may quote what it choked on", () => {
  expect(describe(new SyntaxError('Unexpected token in "hunter2"'))).not.toContain("hunter2");
  expect(describe("hunter2")).not.toContain("hunter2");
});
