import type { Human } from "@countersign/model";
import { expect, test, describe, afterEach } from "vitest";
import { classify, classifyNotification, hasOutcome } from "./methods.ts";
import type { McpCall } from "./call.ts";
import { type Target, targetsOf } from "./policy/target.ts";
import { TaskOwners } from "./tasks.ts";
import { mcpCall, policyText, testGate, type TestGate, toolCall } from "./testing/gate.ts";

const POLICY = policyText(
  `
tools:
  read_ticket: { permission: read, resource: "ticket:{arguments.id}" }
resources:
  "ticket://{id}": { permission: read, resource: "ticket:{id}" }
  "note://{id}": { permission: read, resource: "folder:notes" }
prompts:
  greet: { permission: use, resource: "prompt:{name}" }
  letter: { permission: use, resource: "ticket:{arguments.ticket}" }
`,
  [
    "ticket:T-1#read@user:ada",
    "folder:notes#read@user:ada",
    "prompt:greet#use@user:ada",
    "ticket:T-1#use@user:ada",
  ],
);

const open: TestGate[] = [];

function make(): TestGate {
  const made = testGate({ policy: POLICY });
  open.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((made) => made.close()));
});

/** The rows of contract section 5: method, class, and whether what runs ends in an outcome. */
test.each([
  ["tools/call", "guarded", true],
  ["resources/read", "guarded", true],
  ["resources/subscribe", "guarded", true],
  ["prompts/get", "guarded", true],
  ["subscriptions/listen", "guarded", false],
  ["completion/complete", "guarded", false],
  ["tools/list", "list", false],
  ["prompts/list", "list", false],
  ["resources/list", "list", false],
  ["resources/templates/list", "list", false],
  ["tasks/get", "task", false],
  ["tasks/result", "task", false],
  ["tasks/cancel", "task", false],
  ["tasks/list", "task", false],
  ["tasks/anything/new", "task", false],
  ["initialize", "pass", false],
  ["ping", "pass", false],
  ["server/discover", "pass", false],
  ["logging/setLevel", "pass", false],
  ["resources/unsubscribe", "pass", false],
  ["sampling/createMessage", "unmapped", false],
  ["roots/list", "unmapped", false],
  ["constructor", "unmapped", false],
  ["tools/call ", "unmapped", false],
  ["Tools/Call", "unmapped", false],
  ["", "unmapped", false],
] as const)("%s is %s", (method, kind, outcome) => {
  expect(classify(method)).toBe(kind);
  expect(hasOutcome(method)).toBe(outcome);
});

test.each([
  ["notifications/initialized", "pass"],
  ["notifications/cancelled", "pass"],
  ["notifications/progress", "pass"],
  ["notifications/roots/list_changed", "pass"],
  ["notifications/tools/list_changed", "drop"],
  ["notifications/message", "drop"],
  ["tools/call", "drop"],
] as const)("notification %s: %s", (method, kind) => {
  expect(classifyNotification(method)).toBe(kind);
});

const complete = (ref: unknown, known?: unknown, name: unknown = "id"): McpCall =>
  mcpCall("completion/complete", {
    ref,
    argument: { name, value: "T-" },
    ...(known === undefined ? {} : { context: { arguments: known } }),
  });
const listen = (...uris: readonly unknown[]): McpCall =>
  mcpCall("subscriptions/listen", { notifications: { resourceSubscriptions: uris } });

describe("guarded methods go by their policy entry", () => {
  test.each<readonly [string, McpCall, string]>([
    ["tools/call", toolCall("read_ticket", { id: "T-1" }), "permitted"],
    [
      "tools/call without arguments",
      mcpCall("tools/call", { name: "read_ticket" }),
      "resource_invalid",
    ],
    ["tools/call with arguments that are no object", toolCall("read_ticket", ["T-1"]), "malformed"],
    ["tools/call without params", mcpCall("tools/call"), "malformed"],
    ["tools/call without a name", toolCall("", {}), "malformed"],
    ["resources/read", mcpCall("resources/read", { uri: "ticket://T-1" }), "permitted"],
    [
      "resources/read of another's",
      mcpCall("resources/read", { uri: "ticket://T-2" }),
      "forbidden",
    ],
    [
      "resources/read of an unknown URI",
      mcpCall("resources/read", { uri: "file:///etc/passwd" }),
      "unmapped",
    ],
    ["resources/read without a URI", mcpCall("resources/read", {}), "malformed"],
    [
      "resources/read with dot segments",
      mcpCall("resources/read", { uri: "note://.." }),
      "resource_invalid",
    ],
    [
      "the same, percent-encoded",
      mcpCall("resources/read", { uri: "note://%2e%2E" }),
      "resource_invalid",
    ],
    [
      "the same, with an encoded slash",
      mcpCall("resources/read", { uri: "note://a%2f..%2Fb" }),
      "resource_invalid",
    ],
    ["resources/read with a query", mcpCall("resources/read", { uri: "note://a?x=1" }), "unmapped"],
    [
      "resources/read with a backslash",
      mcpCall("resources/read", { uri: "note://a\\..\\b" }),
      "unmapped",
    ],
    ["resources/subscribe", mcpCall("resources/subscribe", { uri: "ticket://T-1" }), "permitted"],
    ["prompts/get", mcpCall("prompts/get", { name: "greet" }), "permitted"],
    ["prompts/get of an unmapped one", mcpCall("prompts/get", { name: "other" }), "unmapped"],
    [
      "prompts/get with arguments",
      mcpCall("prompts/get", { name: "letter", arguments: { ticket: "T-1" } }),
      "permitted",
    ],
    ["listen to one", listen("ticket://T-1"), "permitted"],
    ["listen to two, one forbidden", listen("ticket://T-1", "ticket://T-2"), "forbidden"],
    ["listen to two, one unmapped", listen("ticket://T-1", "x://y"), "unmapped"],
    ["listen to nothing", listen(), "no_checks"],
    [
      "listen to list changes only",
      mcpCall("subscriptions/listen", { notifications: { toolsListChanged: true } }),
      "no_checks",
    ],
    [
      "listen to 33",
      listen(...Array.from({ length: 33 }, (_, index) => `ticket://T-${index}`)),
      "too_many_checks",
    ],
    ["listen to a number", listen(7), "malformed"],
    ["listen without a filter", mcpCall("subscriptions/listen", {}), "malformed"],
    ["complete a prompt's argument", complete({ type: "ref/prompt", name: "greet" }), "permitted"],
    ["complete, prompt unmapped", complete({ type: "ref/prompt", name: "other" }), "unmapped"],
    [
      "complete, the entry needs an argument that is there",
      complete({ type: "ref/prompt", name: "letter" }, { ticket: "T-1" }),
      "permitted",
    ],
    [
      "complete, the entry needs an argument that is not",
      complete({ type: "ref/prompt", name: "letter" }),
      "resource_invalid",
    ],
    [
      "complete a template's variable that the entry needs",
      complete({ type: "ref/resource", uri: "ticket://{id}" }),
      "resource_invalid",
    ],
    [
      "complete, the variable filled in before",
      complete({ type: "ref/resource", uri: "ticket://{id}" }, { id: "T-1" }, "other"),
      "permitted",
    ],
    [
      "complete a variable, with a value for it smuggled in",
      complete({ type: "ref/resource", uri: "ticket://{id}" }, { id: "T-1" }),
      "resource_invalid",
    ],
    [
      "complete a prompt's argument, with a value for it smuggled in",
      complete({ type: "ref/prompt", name: "letter" }, { ticket: "T-1" }, "ticket"),
      "resource_invalid",
    ],
    [
      "complete, a value that makes another URI of the template",
      complete({ type: "ref/resource", uri: "{scheme}T-1" }, { scheme: "ticket://" }),
      "unmapped",
    ],
    [
      "complete nothing by name",
      complete({ type: "ref/prompt", name: "greet" }, undefined, 7),
      "malformed",
    ],
    [
      "complete, the entry does not need the variable",
      complete({ type: "ref/resource", uri: "note://{id}" }),
      "permitted",
    ],
    [
      "complete an unknown kind of ref",
      complete({ type: "ref/tool", name: "read_ticket" }),
      "malformed",
    ],
    [
      "complete without a ref",
      mcpCall("completion/complete", { argument: { name: "a", value: "" } }),
      "malformed",
    ],
    ["any other request", mcpCall("vendor/new", { uri: "ticket://T-1" }), "unmapped"],
    ["a request of a server", mcpCall("sampling/createMessage", {}), "unmapped"],
  ])("%s", async (_, call, reason) => {
    const made = make();
    expect((await made.gate.decide(call)).reason).toBe(reason);
    expect(made.decisions()).toMatchObject([{ reason }]);
  });
});

const human = (subject: string): Human => ({
  issuer: "https://id.example",
  subject,
  assurance: "bearer",
  method: "bearer",
});

async function owned(made: TestGate): Promise<void> {
  const call = toolCall("read_ticket", { id: "T-1" });
  const verdict = await made.gate.decide(call);
  made.gate.finish(call, verdict, { status: "task_created", taskId: "task-1", durationUs: 1 });
}

test("a small completion does not expand to a huge URI", () => {
  const { policy } = make().gate;
  const ref = { type: "ref/resource", uri: "{a}".repeat(400) };
  const { params } = complete(ref, { a: "x".repeat(100_000) });
  const [target] = targetsOf(policy, "completion/complete", params) as [Target];
  expect(target.rule).toBeUndefined();
  expect(String(target.scope["uri"]).length).toBeLessThan(10_000_000);
});

describe("tasks", () => {
  test.each(["tasks/get", "tasks/result", "tasks/cancel", "tasks/update"])(
    "%s: who made the task may",
    async (method) => {
      const made = make();
      await owned(made);
      expect(await made.gate.decide(mcpCall(method, { taskId: "task-1" }))).toMatchObject({
        reason: "permitted",
        effect: "run",
      });
      expect(await made.gate.decide(mcpCall(method, { taskId: "task-2" }))).toMatchObject({
        reason: "task_not_owned",
      });
      expect(await made.gate.decide(mcpCall(method, {}))).toMatchObject({ reason: "malformed" });
    },
  );

  test("another human, or the same subject of another issuer, may not", async () => {
    let issuer = "urn:countersign:asserted";
    let subject = "ada";
    const made = testGate({
      policy: POLICY,
      identity: {
        resolve: () =>
          Promise.resolve({
            kind: "human",
            human: { issuer, subject, assurance: "asserted", method: "asserted" },
          }),
      },
    });
    open.push(made);
    await owned(made);
    expect((await made.gate.decide(mcpCall("tasks/get", { taskId: "task-1" }))).reason).toBe(
      "permitted",
    );
    issuer = "https://other.example";
    expect((await made.gate.decide(mcpCall("tasks/get", { taskId: "task-1" }))).reason).toBe(
      "task_not_owned",
    );
    issuer = "urn:countersign:asserted";
    subject = "bob";
    expect((await made.gate.decide(mcpCall("tasks/get", { taskId: "task-1" }))).reason).toBe(
      "task_not_owned",
    );
  });

  test("tasks/list shows everybody's, so nobody may", async () => {
    const made = make();
    await owned(made);
    expect((await made.gate.decide(mcpCall("tasks/list", {}))).reason).toBe("task_not_owned");
    expect((await made.gate.decide(mcpCall("tasks/list", { taskId: "task-1" }))).reason).toBe(
      "task_not_owned",
    );
  });

  test("a task id that comes out for a second human belongs to neither", () => {
    const tasks = new TaskOwners();
    tasks.claim("task-1", human("alice"));
    tasks.claim("task-1", human("alice"));
    expect(tasks.owns("task-1", human("alice"))).toBe(true);
    tasks.claim("task-1", human("mallory"));
    expect(tasks.owns("task-1", human("mallory"))).toBe(false);
    expect(tasks.owns("task-1", human("alice"))).toBe(false);
    tasks.claim("task-1", human("mallory"));
    expect(tasks.owns("task-1", human("mallory"))).toBe(false);
  });

  test("owners are bounded: of very many tasks the oldest are forgotten", async () => {
    const made = make();
    const call = toolCall("read_ticket", { id: "T-1" });
    const verdict = await made.gate.decide(call);
    const quiet = { ...verdict, recorded: false };
    for (let task = 0; task <= 4096; task += 1) {
      made.gate.finish(call, quiet, { status: "task_created", taskId: `t-${task}`, durationUs: 1 });
    }
    expect((await made.gate.decide(mcpCall("tasks/get", { taskId: "t-0" }))).reason).toBe(
      "task_not_owned",
    );
    expect((await made.gate.decide(mcpCall("tasks/get", { taskId: "t-4096" }))).reason).toBe(
      "permitted",
    );
  });
});
