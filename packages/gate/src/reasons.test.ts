import { createCallProver, createReplayGuard, type IdentityResult } from "@countersign/identity";
import { decisionOf, REASONS, type Reason, silentLogger } from "@countersign/model";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CLIENT, SERVER, type TestLogin, testLogin } from "../../identity/src/testing/login.ts";
import type { McpCall } from "./call.ts";
import type { CheckAnswer, Checker } from "./check/checker.ts";
import {
  answering,
  mcpCall,
  policyText,
  testGate,
  type TestGate,
  type TestGateOptions,
  toolCall,
  TOOLS,
  TUPLES,
} from "./testing/gate.ts";

const POLICY = policyText(TOOLS, TUPLES);

const open: TestGate[] = [];

function make(options: Partial<TestGateOptions> = {}): TestGate {
  const made = testGate({ policy: POLICY, ...options });
  open.push(made);
  return made;
}

let login: TestLogin;

beforeAll(async () => {
  login = await testLogin();
});

afterAll(() => login.close());

afterEach(async () => {
  await Promise.all(open.splice(0).map((made) => made.close()));
});

const read = (id: unknown, more?: Partial<McpCall>): McpCall =>
  toolCall("read_ticket", { id }, more);

/** With a proof of the person who is logged in. */
async function proven(id: string): Promise<McpCall> {
  const call = read(id);
  const credential = await login.credential("id_token_cnf");
  const prover = createCallProver({ current: () => Promise.resolve(credential) });
  return { ...call, proof: await prover.prove({ ...call, audience: SERVER }, call.signal) };
}

/** The parts of every token, key and signature that came with a call. */
function secretsOf({ proof, bearer }: McpCall): string[] {
  const texts = [...Object.values((proof ?? {}) as Record<string, string>), bearer ?? ""];
  return texts.flatMap((one) => one.split(".")).filter((part) => part.length > 16);
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

function identified(result: IdentityResult): TestGateOptions["identity"] & object {
  return { resolve: () => Promise.resolve(result) };
}

type Case = readonly [Partial<TestGateOptions>, McpCall];

/** Every reason of contract section 3, and a call through a real gate that gives it. */
const CASES: Readonly<Record<string, () => Case | Promise<Case>>> = {
  permitted: () => [{}, read("T-1")],
  forbidden: () => [{}, read("T-9")],
  conditional: () => [
    { checker: answering({ verdict: "conditional", reason: "missing_context" }) },
    read("T-1"),
  ],
  identity_replayed: async () => {
    const identity = login.identity();
    const call = await proven("T-1");
    const { proof, method, params } = call;
    const request = { method, params };
    const before = await identity.resolve({ transport: "stdio", proof, request }, call.signal);
    expect(before.kind).toBe("human");
    return [{ identity }, call];
  },
  replay_cache_full: async () => [
    {
      identity: login.identity({ replay: createReplayGuard({ maxEntries: 0, log: silentLogger }) }),
    },
    await proven("T-1"),
  ],
  unmapped: () => [{}, toolCall("drop_table", {})],
  no_checks: () => [{}, toolCall("close_many", { ids: [] })],
  too_many_checks: () => [
    {},
    toolCall("close_many", { ids: Array.from({ length: 33 }, (_, index) => `T-${index}`) }),
  ],
  resource_invalid: () => [{}, read({ id: "T-1" })],
  identity_missing: () => [{ identity: login.identity() }, read("T-1")],
  identity_not_human: async () => {
    const token = await login.token("dpop", { sub: CLIENT, cnf: undefined });
    return [{ identity: login.identity() }, read("T-1", { transport: "http", bearer: token })];
  },
  identity_invalid: async () => [
    { identity: login.identity() },
    { ...(await proven("T-1")), ...read("T-2") },
  ],
  identity_conflict: async () => {
    const bearer = await login.token("dpop", { sub: "somebody-else", cnf: undefined });
    return [
      { identity: login.identity() },
      { ...(await proven("T-1")), transport: "http" as const, bearer },
    ];
  },
  identity_too_weak: () => [{}, toolCall("refund", { id: "T-1" })],
  task_not_owned: () => [{}, mcpCall("tasks/get", { taskId: "task-1" })],
  malformed: () => [{}, mcpCall("tools/call", { name: 7 })],
  pdp_timeout: () => [{ checker: answering({ verdict: "error", reason: "timeout" }) }, read("T-1")],
  pdp_unavailable: () => [
    { checker: answering({ verdict: "error", reason: "unavailable" }) },
    read("T-1"),
  ],
  pdp_error: () => [{ checker: answering({ verdict: "error", reason: "refused" }) }, read("T-1")],
  identity_unavailable: () => {
    const helper = { process: { exec: ["/no/such/helper"] } };
    return [{ identity: login.identity({}, helper) }, read("T-1")];
  },
  cancelled: () => [{}, read("T-1", { signal: AbortSignal.abort() })],
  too_large: () => [{}, read("T-1", { fault: "too_large" })],
  internal: () => [
    { checker: { ...answering({}), check: () => Promise.reject(new Error("4111111111111111")) } },
    read("T-1"),
  ],
};

/** `listed` is in the lists' tests. */
const ELSEWHERE = new Set<string>(["listed"]);

describe("reasons", () => {
  test("every reason of the contract has a case here, or its own place", () => {
    const all = [...REASONS.allow, ...REASONS.deny, ...REASONS.error].filter(
      (reason) => !ELSEWHERE.has(reason),
    );
    expect(Object.keys(CASES).toSorted()).toEqual(all.toSorted());
  });

  test.each(Object.entries(CASES))(
    "%s is decided, recorded, and stops the call unless it allows",
    async (name, given) => {
      const reason = name as Reason;
      const [options, call] = await given();
      const made = make(options);
      const verdict = await made.gate.decide(call);
      const allowed = decisionOf(reason) === "allow";
      expect(verdict).toMatchObject({
        reason,
        decision: decisionOf(reason),
        effect: allowed ? "run" : "block",
        recorded: true,
      });
      expect(made.decisions()).toHaveLength(1);
      expect(made.sealed.at(-1)?.event.id).toBe(verdict.id);
      expect(made.decisions()[0]).toMatchObject({
        reason,
        decision: decisionOf(reason),
        effect: allowed ? "run" : "block",
        mode: "enforce",
      });
      expect(made.journal.counters[decisionOf(reason)]).toBe(1);
      const told = JSON.stringify(verdict) + made.sealed.map(({ bytes }) => text(bytes)).join();
      for (const part of secretsOf(call)) expect(told).not.toContain(part);
    },
  );

  test("the first step that fails names the reason: parse, identity, policy, resources, authorizer", async () => {
    const nobody = { identity: identified({ kind: "absent" }) };
    const made = make({ ...nobody, env: { COUNTERSIGN_ASSERTED_HUMAN: "" } });
    expect((await made.gate.decide(mcpCall("tools/call", { name: 7 }))).reason).toBe("malformed");
    expect((await made.gate.decide(toolCall("drop_table", {}))).reason).toBe("identity_missing");
    const known = make();
    expect((await known.gate.decide(toolCall("drop_table", { id: {} }))).reason).toBe("unmapped");
    expect((await known.gate.decide(read({ id: 1 }))).reason).toBe("resource_invalid");
  });

  test("our own exception is logged by its place, never by its words", async () => {
    const lines: string[] = [];
    const error = (message: string, fields?: object): void =>
      void lines.push(message, JSON.stringify(fields));
    const checker = {
      ...answering({}),
      check: () => Promise.reject(new Error("a\n    at 4111111111111111 (file:///x:1:1)")),
    };
    const made = make({ checker, log: { ...silentLogger, error } });
    await made.gate.decide(read("T-1"));
    expect(lines.join(" ")).toContain("reasons.test.ts");
    expect(lines.join(" ")).not.toContain("4111");
  });

  test("whoever was resolved before the failing step is recorded", async () => {
    const made = make();
    await made.gate.decide(toolCall("drop_table", {}));
    expect(made.decisions()[0]?.human).toMatchObject({ subject: "ada", assurance: "asserted" });
  });
});

describe("checks", () => {
  test("all must be allowed, and the first that is not decides", async () => {
    const made = make();
    const call = toolCall("move_ticket", { id: "T-1", team: "red", queue: "billing.eu" });
    expect(await made.gate.decide(call)).toMatchObject({
      reason: "permitted",
      rule: "tools.move_ticket",
    });
    const denied = await made.gate.decide(
      toolCall("move_ticket", { id: "T-1", team: "red", queue: "other" }),
    );
    expect(denied).toMatchObject({ reason: "forbidden" });
    expect(
      made
        .decisions()[1]
        ?.checks?.map((check) => [check.permission, check.resource.id, check.verdict]),
    ).toEqual([
      ["edit", "T-1", "allow"],
      ["add_ticket", "red/other", "deny"],
    ]);
  });

  test("one check for each distinct element", async () => {
    const made = make();
    const verdict = await made.gate.decide(toolCall("close_many", { ids: ["T-1", "T-2", "T-1"] }));
    expect(verdict.checks?.map((check) => check.resource.id)).toEqual(["T-1", "T-2"]);
    expect(verdict.reason).toBe("permitted");
  });

  test.each([[[]], [[{ verdict: "allow" }]], [[{ verdict: "ALLOW" }, { verdict: "allow" }]]])(
    "an authorizer that answers %j to two questions allows nothing",
    async (answers) => {
      const checker: Checker = {
        ...answering({}),
        check: () => Promise.resolve(answers as unknown as readonly CheckAnswer[]),
      };
      const made = make({ checker });
      const verdict = await made.gate.decide(toolCall("close_many", { ids: ["T-1", "T-2"] }));
      expect(verdict).toMatchObject({ decision: "error", effect: "block" });
    },
  );

  test("an id in which a detector fires is not asked about and not recorded", async () => {
    let asked = 0;
    const checker = {
      ...answering({ verdict: "allow" }),
      check: () => Promise.resolve([]).finally(() => (asked += 1)),
    };
    const made = make({ checker });
    const verdict = await made.gate.decide(read("4111 1111 1111 1111"));
    expect(verdict.reason).toBe("resource_invalid");
    expect(asked).toBe(0);
    expect(JSON.stringify(made.decisions())).not.toContain("1111");
  });

  test("decisions are never cached: every call asks", async () => {
    let asked = 0;
    const allow = answering({ verdict: "allow" });
    const made = make({
      checker: { ...allow, check: (...given) => ((asked += 1), allow.check(...given)) },
    });
    await made.gate.decide(read("T-1"));
    await made.gate.decide(read("T-1"));
    expect(asked).toBe(2);
  });
});
