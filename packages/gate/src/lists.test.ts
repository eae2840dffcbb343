import { afterEach, expect, test } from "vitest";
import type { ListEntry } from "./call.ts";
import type { Checker } from "./check/checker.ts";
import {
  delegating,
  mcpCall,
  policyText,
  testGate,
  type TestGate,
  type TestGateOptions,
} from "./testing/gate.ts";

const SECTIONS = `
tools:
  read_ticket: { permission: read, resource: "ticket:{arguments.id}" }
  refund:
    permission: refund
    resource: "ticket:{arguments.id}"
    list: { permission: use, resource: "tool:{name}" }
  purge:
    permission: purge
    resource: "ticket:{arguments.id}"
    list: { permission: use, resource: "tool:{name}" }
prompts:
  "*": { permission: use, resource: "prompt:{name}" }
resources:
  "ticket://{id}":
    permission: read
    resource: "ticket:{id}"
    list: { permission: read, resource: "ticket:{id}" }
  "note://{id}": { permission: read, resource: "note:{id}" }
`;
const TUPLES = ["tool:refund#use@user:ada", "ticket:T-1#read@user:ada"];

const tools = ["read_ticket", "refund", "purge", "drop_table"].map((name): ListEntry => ({
  kind: "tool",
  name,
}));

const open: TestGate[] = [];

function make(more = "", options: Partial<TestGateOptions> = {}): TestGate {
  const made = testGate({ policy: policyText(more + SECTIONS, TUPLES), ...options });
  open.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((made) => made.close()));
});

test("shown is what is mapped and whose own list check holds", async () => {
  const made = make();
  const { verdict, shown } = await made.gate.decideList(mcpCall("tools/list"), tools);
  expect(shown).toEqual([true, true, false, false]);
  expect(verdict).toMatchObject({
    decision: "allow",
    reason: "listed",
    effect: "run",
    recorded: true,
  });
  expect(made.decisions()[0]).toMatchObject({ reason: "listed", list: { offered: 4, shown: 2 } });
  expect(made.decisions()[0]).not.toHaveProperty("checks");
});

test.each<readonly [string, readonly ListEntry[], readonly boolean[]]>([
  ["prompts/list", [{ kind: "prompt", name: "any" }], [true]],
  [
    "resources/list",
    [
      { kind: "resource", uri: "ticket://T-1" },
      { kind: "resource", uri: "ticket://T-2" },
      { kind: "resource", uri: "x://1" },
    ],
    [true, false, false],
  ],
  [
    "resources/templates/list",
    [
      { kind: "resource_template", uriTemplate: "note://{anything}" },
      { kind: "resource_template", uriTemplate: "ticket://{id}" },
      { kind: "resource_template", uriTemplate: "x://{id}" },
    ],
    [true, false, false],
  ],
])("%s", async (method, offered, expected) => {
  const made = make();
  expect((await made.gate.decideList(mcpCall(method), offered)).shown).toEqual(expected);
});

test("lists: open shows everything, and is recorded all the same", async () => {
  const made = make("lists: open\n");
  expect((await made.gate.decideList(mcpCall("tools/list"), tools)).shown).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(made.decisions()[0]).toMatchObject({ reason: "listed", list: { offered: 4, shown: 4 } });
});

test("an empty list is a list", async () => {
  const made = make();
  expect((await made.gate.decideList(mcpCall("tools/list"), [])).verdict).toMatchObject({
    reason: "listed",
  });
  expect(made.decisions()[0]).toMatchObject({ list: { offered: 0, shown: 0 } });
});

test("nobody is shown anything before it is clear who asks", async () => {
  const made = make("", { identity: { resolve: () => Promise.resolve({ kind: "absent" }) } });
  const { verdict, shown } = await made.gate.decideList(mcpCall("tools/list"), tools);
  expect(verdict).toMatchObject({ reason: "identity_missing", effect: "block" });
  expect(shown).toEqual([false, false, false, false]);
});

test.each([
  ["timeout", "pdp_timeout"],
  ["unavailable", "pdp_unavailable"],
  ["refused", "pdp_error"],
] as const)(
  "an authorizer that fails (%s) makes the list an error, not a short list",
  async (reason, expected) => {
    const checker: Checker = {
      engine: "relationships",
      check: (requests) =>
        Promise.resolve(
          requests.map(() => ({
            verdict: "error",
            reason,
            engine: "relationships",
            durationUs: 0,
          })),
        ),
      probe: () => Promise.resolve({ ok: false, detail: "" }),
      close: () => Promise.resolve(),
    };
    const made = make("", { checker });
    const { verdict, shown } = await made.gate.decideList(mcpCall("tools/list"), tools);
    expect(verdict).toMatchObject({ reason: expected, decision: "error", effect: "block" });
    expect(shown).not.toContain(true);
  },
);

test("a list that could not be recorded is not shown", async () => {
  const made = make("", {
    journal: (real) => ({ ...delegating(real), append: () => Promise.reject(new Error("disk")) }),
  });
  const { verdict, shown } = await made.gate.decideList(mcpCall("tools/list"), tools);
  expect(verdict).toMatchObject({ effect: "block", recorded: false });
  expect(shown).not.toContain(true);
});

test("observe shows everything and records what would have been shown", async () => {
  const until = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
  const made = make(`mode: observe\nuntil: ${until}\n`);
  expect((await made.gate.decideList(mcpCall("tools/list"), tools)).shown).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(made.decisions()[0]).toMatchObject({
    mode: "observe",
    effect: "run",
    list: { offered: 4, shown: 2 },
  });
});

test("the same question is asked once, in batches", async () => {
  const sizes: number[] = [];
  const checker: Checker = {
    engine: "relationships",
    check: (requests) => {
      sizes.push(requests.length);
      return Promise.resolve(
        requests.map(() => ({ verdict: "allow", engine: "relationships", durationUs: 0 })),
      );
    },
    probe: () => Promise.resolve({ ok: true, detail: "" }),
    close: () => Promise.resolve(),
  };
  const made = make("", { checker });
  const offered = Array.from({ length: 600 }, (_, index): ListEntry => ({
    kind: "resource",
    uri: `ticket://T-${index % 300}`,
  }));
  const { shown } = await made.gate.decideList(mcpCall("resources/list"), offered);
  expect(shown.every(Boolean)).toBe(true);
  expect(sizes).toEqual([256, 44]);
});
