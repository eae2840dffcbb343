import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, test } from "vitest";
import { canonicalBytes, sha256Hex } from "./canonical.ts";
import {
  formatProblem,
  MAX_DOCUMENT_BYTES,
  parseDocument,
  problemsFromSchema,
} from "./document.ts";

function messages(text: string): string[] {
  return parseDocument(text, "f.yaml").problems.map(formatProblem);
}

test("the digest of the policy is the one that the true chain names", () => {
  const text = readFileSync(join(import.meta.dirname, "testdata", "policy.yaml"), "utf8");
  const { value, problems } = parseDocument(text, "policy.yaml");
  expect(problems).toEqual([]);
  expect(sha256Hex(canonicalBytes(value))).toBe(
    "c9f7c38e45cb59e55c9ff1a03144739748c3ec49cd421c2a02a31e9591136888",
  );
});

test("problems of the text have a place and a fix", () => {
  expect(messages("a: 1\nb: 2\na: 3\n")).toEqual([
    "f.yaml:3:1: the same key occurs twice. Remove one of them, or rename it.",
  ]);
  expect(messages("a: &x 1\nb: *x\n")).toEqual([
    "f.yaml:1:7: anchors are not supported. Remove it.",
    "f.yaml:2:4: aliases are not supported. Write the value out.",
  ]);
  expect(messages("a: !secret x\n")[0]).toBe(
    "f.yaml:1:4: tags are not supported. Remove the `!…`.",
  );
  expect(messages("a: 1\n---\nb: 2\n")[0]).toMatch(/^f\.yaml:2:1: there is more than one document/);
  expect(messages("a:\n\t- b\n")[0]).toMatch(/^f\.yaml:2:1: a tab/);
  expect(messages("__proto__: {}\n")[0]).toMatch(/^f\.yaml:1:1: `__proto__`/);
  expect(messages("a: [1, 2\n")[0]).toMatch(/^f\.yaml:2:1: .* a bracket is open/);
  expect(messages("a: 'x\n")[0]).toMatch(/^f\.yaml:2:1: is not valid YAML \(missing char\)/);
  expect(messages("? [a, b]\n: 1\n")[0]).toMatch(/^f\.yaml:1:\d+: a key is not plain text/);
});

test("hostile documents end as problems", () => {
  expect(parseDocument("[".repeat(100_000), "f.yaml").value).toBeUndefined();
  expect(messages("[".repeat(100_000)).length).toBeGreaterThan(0);
  expect(messages("a".repeat(MAX_DOCUMENT_BYTES + 1))).toEqual([
    "f.yaml:1:1: is over 1048576 bytes. Split it or make it smaller.",
  ]);
  const laughs = ["a0: &a0 lol"];
  for (let level = 1; level < 30; level += 1) {
    laughs.push(`a${level}: &a${level} [*a${level - 1}, *a${level - 1}]`);
  }
  const { value, problems } = parseDocument(laughs.join("\n"), "f.yaml");
  expect(value).toBeUndefined();
  expect(problems.length).toBeGreaterThan(0);
  expect(messages("x: 'never quoted secret\ny: 1\n").join()).not.toContain("secret");
});

test("JSON is read, values keep their types, empty is null", () => {
  expect(parseDocument('{"a": [1, true, null, "no"]}', "f").value).toEqual({
    a: [1, true, null, "no"],
  });
  expect(parseDocument("a: no\nb: 1.5\nc:\nd: 2026-12-31\n", "f").value).toEqual({
    a: "no",
    b: 1.5,
    c: null,
    d: "2026-12-31",
  });
});

const TEXT = `version: 2
serverr: x
tools:
  read: { permission: 7, resource: "" }
  list:
    - { permission: x, extra: 1 }
mode: force
both: { a: 1, b: 2 }
`;

const SCHEMA = {
  type: "object",
  additionalProperties: false,
  required: ["version", "server", "tenant"],
  properties: {
    version: { const: 1 },
    server: { type: "string", description: "Name the server." },
    tenant: { type: "string" },
    mode: { enum: ["enforce", "observe"] },
    both: { type: "object", oneOf: [{ required: ["a"] }, { required: ["b"] }] },
    tools: {
      type: "object",
      additionalProperties: {
        oneOf: [{ $ref: "#/$defs/check" }, { type: "array", items: { $ref: "#/$defs/check" } }],
      },
    },
  },
  $defs: {
    check: {
      type: "object",
      additionalProperties: false,
      required: ["permission"],
      properties: { permission: { type: "string" }, resource: { type: "string", minLength: 1 } },
    },
  },
};

test("what a validator finds becomes sentences with a place, and consequences are left out", () => {
  const document = parseDocument(TEXT, "p.yaml");
  const validate = new Ajv2020({ allErrors: true, verbose: true }).compile(SCHEMA);
  expect(validate(document.value)).toBe(false);
  expect(problemsFromSchema(document, validate.errors).map(formatProblem)).toEqual([
    'p.yaml:1:1: "server" is missing. Name the server.',
    'p.yaml:1:1: "tenant" is missing. Add it.',
    "p.yaml:1:10: version: must be 1.",
    'p.yaml:2:1: unknown member "serverr"; known: version, server, tenant, mode, both, tools. Did you mean server?',
    "p.yaml:4:23: tools.read.permission: must be text.",
    "p.yaml:4:36: tools.read.resource: must not be empty.",
    'p.yaml:6:24: tools.list[0]: unknown member "extra"; known: permission, resource. Remove it.',
    "p.yaml:7:7: mode: must be one of: enforce, observe.",
    "p.yaml:8:7: both: must have exactly one of: a, b.",
  ]);
});

test("a path that leads nowhere gives its nearest ancestor", () => {
  const document = parseDocument("a:\n  b:\n  c: [1, 2]\n", "f");
  expect(document.at(["a", "c", 1])).toEqual({ line: 3, column: 10 });
  expect(document.at(["a", "c", 7])).toEqual({ line: 3, column: 6 });
  expect(document.at(["a", "c"], "key")).toEqual({ line: 3, column: 3 });
  expect(document.at(["a", "b"])).toEqual({ line: 2, column: 3 });
  expect(document.at(["a", "x", "y"])).toEqual({ line: 2, column: 3 });
  expect(document.at([])).toEqual({ line: 1, column: 1 });
});
