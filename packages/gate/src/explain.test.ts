import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { explain } from "./explain.ts";
import { loadPolicy } from "./policy/load.ts";

const text = readFileSync(join(import.meta.dirname, "policy", "testdata", "policy.yaml"), "utf8");
const { policy } = loadPolicy(text, "policy.yaml", { SPICEDB_TOKEN: "x" });

const call = (name: string, args: unknown): unknown =>
  explain(policy, { method: "tools/call", params: { name, arguments: args } });

test("the checks that a call would make, in order, with the subject as the policy has it", () => {
  expect(call("move_ticket", { id: "T-1042", team: "r&d", queue: "billing.eu" })).toEqual({
    method: "tools/call",
    class: "guarded",
    rules: ["tools.move_ticket"],
    minimum: "bearer",
    checks: [
      {
        permission: "edit",
        resource: { type: "ticket", id: "T-1042" },
        subject: "user:{human.subject}",
      },
      {
        permission: "add_ticket",
        resource: { type: "queue", id: "r=26d/billing=2Eeu" },
        subject: "user:{human.subject}",
      },
    ],
    why: ["The policy entry it names decides.", "All 2 of its checks must be allowed."],
  });
});

test("the stricter floor of an entry, and the keys of its condition without the values", () => {
  const found = call("refund", { id: "T-1", amount: 99.5 });
  expect(found).toMatchObject({
    minimum: "call_bound",
    checks: [{ permission: "refund", contextKeys: ["amount"] }],
  });
  expect(JSON.stringify(found)).not.toContain("99.5");
});

test.each<readonly [string, unknown, object]>([
  ["tools/call", { name: "drop_table" }, { denied: "unmapped", checks: [] }],
  ["tools/call", { name: 7 }, { denied: "malformed" }],
  [
    "tools/call",
    { name: "close_many", arguments: { ids: [] } },
    { denied: "no_checks", rules: ["tools.close_many"] },
  ],
  [
    "tools/call",
    { name: "write_file", arguments: { path: "../x" } },
    { denied: "resource_invalid" },
  ],
  ["resources/read", { uri: "ticket://T-1" }, { rules: ["resources.ticket://{id}"] }],
  ["tools/list", undefined, { class: "list", checks: [] }],
  ["tasks/get", { taskId: "x" }, { class: "task" }],
  ["ping", undefined, { class: "pass" }],
  ["vendor/new", {}, { class: "unmapped", denied: "unmapped" }],
])("%s %j", (method, params, expected) => {
  expect(explain(policy, { method, params })).toMatchObject(expected);
});

test("a request without a method is in no table", () => {
  expect(explain(policy, {})).toMatchObject({ class: "unmapped", denied: "unmapped" });
});
