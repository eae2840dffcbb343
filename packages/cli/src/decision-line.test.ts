import { expect, test } from "vitest";
import { decisionLine, type DecisionSummary } from "./decision-line.ts";

const decision: DecisionSummary = {
  id: "01a2027b-e3d4-728a-9347-6e9986773eb1",
  time: "2026-11-22T12:03:07.123Z",
  decision: "allow",
  reason: "permitted",
  mode: "enforce",
  effect: "run",
  method: "tools/call",
  name: "read_ticket",
  human: { subject: "alice", assurance: "bearer", issuer: "https://idp.example" },
  check: { permission: "read", type: "ticket", id: "T-1001" },
  checks: 1,
};

function words(summary: DecisionSummary): string {
  return decisionLine(summary).replaceAll(/ +/g, " ");
}

test("says when, who, what, on what, granted or not, and why", () => {
  expect(words(decision)).toBe(
    "12:03:07 alice (bearer) tools/call read_ticket read ticket:T-1001 granted permitted by https://idp.example",
  );
});

test("a login's key, cut to what tells two apart", () => {
  const human = {
    subject: "alice",
    assurance: "call_bound",
    issuer: "https://idp.example",
    key: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
  };
  const line = words({ ...decision, human });
  expect(line).toMatch(/alice \(call_bound\).*by https:\/\/idp\.example, key 0ZcOCORZ$/);
});

test("more than one check, an encoded id, a denial", () => {
  const check = { permission: "edit", type: "file", id: "/srv/report=2Epdf" };
  expect(
    words({
      ...decision,
      decision: "deny",
      reason: "forbidden",
      effect: "block",
      check,
      checks: 3,
    }),
  ).toBe(
    "12:03:07 alice (bearer) tools/call read_ticket edit file:/srv/report.pdf +2 denied forbidden by https://idp.example",
  );
});

test("nobody, no check, a withheld name", () => {
  const { human: _human, check: _check, name: _name, ...rest } = decision;
  expect(
    words({ ...rest, nameWithheld: true, checks: 0, decision: "deny", reason: "identity_missing" }),
  ).toBe("12:03:07 nobody tools/call (name withheld) - denied identity_missing");
});

test("a filtered list", () => {
  const { check: _check, name: _name, ...rest } = decision;
  expect(
    words({
      ...rest,
      method: "tools/list",
      reason: "listed",
      list: { offered: 6, shown: 5 },
      checks: 0,
    }),
  ).toBe("12:03:07 alice (bearer) tools/list 5 of 6 shown granted listed by https://idp.example");
});

test("observe says that the call ran all the same", () => {
  expect(words({ ...decision, mode: "observe", decision: "deny", reason: "forbidden" })).toContain(
    "denied, ran forbidden",
  );
});

test("nothing that a stranger chose reaches the terminal as a control", () => {
  const line = decisionLine({
    ...decision,
    name: "x\u001B[2J\u202E\r\n",
    human: {
      subject: "a\u0007b",
      assurance: "bearer",
      issuer: "https://x\u001B[2J",
      key: "\u202Ek",
    },
    check: { permission: "read", type: "ticket", id: "=1B=5B2J" },
  });
  // eslint-disable-next-line no-control-regex
  expect(line).not.toMatch(/[\u0000-\u001F\u007F-\u009F\u202E]/);
  expect(line.split("\n")).toHaveLength(1);
});
