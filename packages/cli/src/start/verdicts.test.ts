import { expect, test } from "vitest";
import type { ArchivedDecision } from "../console-client.ts";
import { type AttemptedStep, judge } from "./verdicts.ts";

let position = 0;

function decision(human: string, name: string, verdict: string, reason: string): ArchivedDecision {
  return {
    position: position++,
    server: "urn:mcp:tickets",
    id: "id",
    time: "2026-11-22T12:03:07.123Z",
    decision: verdict,
    reason,
    mode: "enforce",
    effect: verdict === "allow" ? "run" : "block",
    method: "tools/call",
    name,
    human: { subject: human, assurance: "call_bound", issuer: "http://127.0.0.1:1" },
    checks: 1,
  };
}

function attempt(
  human: string,
  tool: string,
  expected: Omit<AttemptedStep["expect"], "assurance">,
  seen: AttemptedStep["seen"] = expected.decision as "allow" | "deny",
): AttemptedStep {
  const sure = { ...expected, assurance: "call_bound" };
  return { human, tool, server: "tickets", expect: sure, because: "", seen };
}

const permitted = { decision: "allow", reason: "permitted" };
const forbidden = { decision: "deny", reason: "forbidden" };
const unmapped = { decision: "deny", reason: "unmapped" };

test("as expected, whatever the order between humans", () => {
  const result = judge(
    [
      attempt("alice", "read", permitted),
      attempt("bob", "read", forbidden),
      attempt("alice", "export", unmapped),
    ],
    [
      decision("bob", "read", "deny", "forbidden"),
      decision("alice", "read", "allow", "permitted"),
      decision("alice", "export", "deny", "unmapped"),
    ],
  );
  expect(result).toEqual({ allow: 1, deny: 2, unmapped: 1, errors: 0, wrong: [] });
});

test.each([
  [
    "another verdict",
    [decision("alice", "read", "deny", "forbidden")],
    attempt("alice", "read", permitted),
  ],
  [
    "another reason",
    [decision("alice", "read", "deny", "unmapped")],
    attempt("alice", "read", forbidden),
  ],
  [
    "another tool",
    [decision("alice", "write", "allow", "permitted")],
    attempt("alice", "read", permitted),
  ],
  ["no record", [], attempt("alice", "read", permitted)],
  [
    "another human's record",
    [decision("bob", "read", "allow", "permitted")],
    attempt("alice", "read", permitted),
  ],
  [
    "recorded as allowed, but the agent saw a denial",
    [decision("alice", "read", "allow", "permitted")],
    attempt("alice", "read", permitted, "deny"),
  ],
  [
    "another assurance",
    [
      {
        ...decision("alice", "read", "allow", "permitted"),
        human: { subject: "alice", assurance: "asserted", issuer: "urn:example" },
      },
    ],
    attempt("alice", "read", permitted),
  ],
  [
    "recorded as denied, but the agent saw a result",
    [decision("alice", "read", "deny", "forbidden")],
    attempt("alice", "read", forbidden, "allow"),
  ],
])("wrong: %s", (_name, decisions, step) => {
  expect(judge([step], decisions).wrong).not.toEqual([]);
});

test("wrong: a decision that no call explains", () => {
  expect(judge([], [decision("alice", "read", "allow", "permitted")]).wrong).toHaveLength(1);
});

test("filtered lists are not calls", () => {
  const listed = { ...decision("alice", "x", "allow", "listed"), method: "tools/list" };
  expect(judge([], [listed])).toEqual({ allow: 0, deny: 0, unmapped: 0, errors: 0, wrong: [] });
});
