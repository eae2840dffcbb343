import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { createCallProver } from "@countersign/identity";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type TestHelper, testHelper } from "../../identity/src/testing/credential-helper.ts";
import { CLIENT, SERVER, type TestLogin, testLogin } from "../../identity/src/testing/login.ts";
import type { McpCall } from "./call.ts";
import { openGate } from "./open.ts";
import {
  delegating,
  mcpCall,
  testGate,
  type TestGate,
  type TestGateOptions,
  toolCall,
} from "./testing/gate.ts";

const SUBJECT = "auth0|5f7c";
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";

let login: TestLogin;
const open: TestGate[] = [];

beforeAll(async () => {
  login = await testLogin();
});

afterAll(() => login.close());

afterEach(async () => {
  await Promise.all(open.splice(0).map((made) => made.close()));
});

function policyText(identity = "minimum: bearer"): string {
  return `version: 1
server: ${SERVER}
tenant: acme
mode: enforce
identity:
  ${identity}
  subject: "user:{human.subject}"
  issuers: [{ issuer: "${login.idp.issuer}", clients: [${CLIENT}], algorithms: [ES256] }]
authorizer: { relationships: ["ticket:T-1#read@user:${SUBJECT}", "ticket:T-2#read@user:${SUBJECT}"] }
tools:
  read_ticket: { permission: read, resource: "ticket:{arguments.id}" }
  refund: { permission: read, resource: "ticket:{arguments.id}", minimum: call_bound }
lists: open
default: deny
`;
}

function make(options: Partial<TestGateOptions> = {}): TestGate {
  const made = testGate({
    policy: policyText(),
    env: { COUNTERSIGN_ASSERTED_HUMAN: "" },
    ...options,
  });
  open.push(made);
  return made;
}

/** As an adapter hands it over: the proof is taken out, and is about what was sent. */
async function proven(call: McpCall): Promise<McpCall> {
  const credential = await login.credential("id_token_cnf");
  const prover = createCallProver({ current: () => Promise.resolve(credential) });
  const about = {
    method: call.method,
    params: call.sentParams ?? call.params,
    audience: SERVER,
    ...(call.traceId === undefined ? {} : { traceId: call.traceId }),
  };
  return { ...call, proof: await prover.prove(about, call.signal) };
}

const read = (id = "T-1", more: Partial<McpCall> = {}): McpCall =>
  toolCall("read_ticket", { id }, more);

/** The same message again, as somebody who recorded it would send it. */
const copied = (call: McpCall): McpCall => ({ ...call, proof: structuredClone(call.proof) });

describe("a call with a proof", () => {
  test.each(["stdio", "http"] as const)("on %s: who asked is on record", async (transport) => {
    const made = make();
    const call = await proven(read("T-1", { transport, traceId: TRACE_ID }));
    const verdict = await made.gate.decide(call);
    expect(verdict).toMatchObject({ reason: "permitted", effect: "run" });
    expect(made.decisions()[0]).toMatchObject({
      human: {
        issuer: login.idp.issuer,
        subject: SUBJECT,
        assurance: "call_bound",
        method: "call_proof",
        binding: {
          jkt: login.loginKey.jkt,
          jti: expect.stringMatching(/^[\w-]{16,128}$/) as string,
          tokenSha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
        },
      },
      agent: { id: CLIENT },
    });
  });

  test("its token is there for the handler, and nowhere else", async () => {
    const made = make();
    const call = await proven(read());
    const verdict = await made.gate.decide(call);
    const { token } = call.proof as { token: string };
    expect(verdict.subject?.reveal()).toBe(token);
    const shown = JSON.stringify(verdict) + inspect(verdict, { depth: 9, showHidden: true });
    const sealed = made.sealed.map(({ bytes }) => Buffer.from(bytes).toString()).join("\n");
    for (const secret of Object.values(call.proof as Record<string, string>)) {
      for (const part of secret.split(".")) {
        expect(shown).not.toContain(part);
        expect(sealed).not.toContain(part);
      }
    }
  });

  test("reaches the floor of an entry that asks for one", async () => {
    const made = make();
    expect(await made.gate.decide(await proven(toolCall("refund", { id: "T-1" })))).toMatchObject({
      reason: "permitted",
    });
  });

  test("lists, tasks and calls that nobody mapped are proven as well", async () => {
    const made = make();
    const list = await proven(mcpCall("tools/list"));
    const { verdict } = await made.gate.decideList(list, [{ kind: "tool", name: "read_ticket" }]);
    expect(verdict).toMatchObject({ reason: "listed", human: { assurance: "call_bound" } });
    expect(verdict.subject?.kind).toBe("id_token");
    const task = await made.gate.decide(await proven(mcpCall("tasks/get", { taskId: "t" })));
    expect(task).toMatchObject({ reason: "task_not_owned", human: { subject: SUBJECT } });
    const vendor = await made.gate.decide(await proven(mcpCall("vendor/new", { a: 1 })));
    expect(vendor).toMatchObject({ reason: "unmapped", human: { subject: SUBJECT } });
  });

  test("what was sent is what was signed, not what the SDK left of it", async () => {
    const made = make();
    const sentParams = { name: "read_ticket", arguments: { id: "T-1" }, requestState: "s" };
    const call = await proven(read("T-1", { sentParams }));
    expect(await made.gate.decide(call)).toMatchObject({ reason: "permitted" });
    const { sentParams: _, ...lost } = await proven(read("T-1", { sentParams }));
    expect(await made.gate.decide(lost)).toMatchObject({ reason: "identity_invalid" });
  });
});

describe("a proof that does not hold", () => {
  const changes: readonly (readonly [string, (call: McpCall) => McpCall])[] = [
    ["another argument", (call) => ({ ...call, ...read("T-2") })],
    ["another tool", (call) => ({ ...call, ...toolCall("refund", { id: "T-1" }) })],
    ["another method", (call) => ({ ...call, ...mcpCall("prompts/get", call.params) })],
    ["another trace", (call) => ({ ...call, traceId: "0".repeat(31) + 1 })],
    ["no trace", ({ traceId: _trace, ...call }) => call],
    ["null", (call) => ({ ...call, proof: null })],
    ["a text", (call) => ({ ...call, proof: "proof" })],
    ["an empty object", (call) => ({ ...call, proof: {} })],
    ["one more member", (call) => ({ ...call, proof: { ...(call.proof as object), more: 1 } })],
  ];

  test.each(changes)("%s: invalid, on record, not run", async (_, change) => {
    const made = make();
    const call = change(await proven(read("T-1", { traceId: TRACE_ID })));
    const verdict = await made.gate.decide(call);
    expect(verdict).toMatchObject({ reason: "identity_invalid", effect: "block", recorded: true });
    expect(verdict).not.toHaveProperty("human");
    expect(verdict).not.toHaveProperty("subject");
    expect(made.decisions()).toMatchObject([{ reason: "identity_invalid", effect: "block" }]);
  });
});

describe("one proof, one message", () => {
  test("a message that was decided too late is decided again, and is not taken for a replay", async () => {
    let monotonic = 0;
    let appends = 0;
    const made = make({
      clock: { now: () => Date.now(), monotonic: () => monotonic },
      journal: (real) => ({
        ...delegating(real),
        append: async (draft, options) => {
          const sealed = await real.append(draft, options);
          appends += 1;
          if (appends === 1) monotonic += 6000;
          return sealed;
        },
      }),
    });
    const call = await proven(read());
    expect(await made.gate.decide(call)).toMatchObject({ reason: "permitted", effect: "run" });
    expect(made.decisions().map(({ reason }) => reason)).toEqual(["permitted", "permitted"]);
    // The enforcer, too, asks again with the message that it has.
    expect(await made.gate.decide({ ...call })).toMatchObject({ reason: "permitted" });
    expect(await made.gate.decide(copied(call))).toMatchObject({ reason: "identity_replayed" });
  });

  test.each([
    ["by the monotonic clock", { monotonic: 1, wall: 0 }],
    ["by the wall clock, as after a sleep of the machine", { monotonic: 0, wall: 1 }],
    ["and the wall clock was set back", { monotonic: 1, wall: -60 }],
  ])("a message that waited for over 60 s, %s, is nobody's any more", async (_, pace) => {
    let passedMs = 0;
    const startMs = Date.now();
    const clock = {
      now: () => startMs + pace.wall * passedMs,
      monotonic: () => pace.monotonic * passedMs,
    };
    const made = make({ clock });
    const call = await proven(read());
    expect(await made.gate.decide(call)).toMatchObject({ reason: "permitted" });
    passedMs = 40_000;
    expect(await made.gate.decide(call)).toMatchObject({ reason: "permitted" });
    passedMs = 60_000;
    expect(await made.gate.decide(call)).toMatchObject({ reason: "permitted" });
    passedMs = 60_001; // since the first time that it was asked about, not the last
    const verdict = await made.gate.decide(call);
    expect(verdict).toMatchObject({ reason: "identity_invalid", effect: "block", recorded: true });
    expect(verdict).not.toHaveProperty("human");
    expect(verdict).not.toHaveProperty("subject");
    const found = made.decisions().map(({ reason }) => reason);
    expect(found).toEqual(["permitted", "permitted", "permitted", "identity_invalid"]);
  });

  test("sent twice it is a replay: on record, and not run", async () => {
    const made = make();
    const call = await proven(read());
    expect(await made.gate.decide(call)).toMatchObject({ effect: "run" });
    expect(await made.gate.decide(copied(call))).toMatchObject({
      reason: "identity_replayed",
      effect: "block",
    });
    expect(made.decisions()[1]).toMatchObject({ reason: "identity_replayed", effect: "block" });
  });

  test("the same proof object with other params or another method is asked about again", async () => {
    const made = make();
    const call = await proven(read());
    expect(await made.gate.decide(call)).toMatchObject({ effect: "run" });
    for (const other of [
      { ...call, ...read("T-2") },
      { ...call, params: structuredClone(call.params) },
      { ...call, method: "prompts/get" },
      { ...call, sentParams: {} },
    ]) {
      expect((await made.gate.decide(other)).reason).toMatch(/^identity_(invalid|replayed)$/);
    }
  });

  test("only a human is remembered with a message: an issuer that was away is asked again", async () => {
    const real = login.identity();
    let away = true;
    const made = make({
      identity: {
        resolve: (evidence, signal) =>
          away
            ? Promise.resolve({ kind: "error", reason: "identity_unavailable" })
            : real.resolve(evidence, signal),
      },
    });
    const call = await proven(read());
    expect(await made.gate.decide(call)).toMatchObject({ reason: "identity_unavailable" });
    away = false;
    expect(await made.gate.decide(call)).toMatchObject({ reason: "permitted" });
  });
});

describe("a gate from a policy file", () => {
  let directory: string;
  let helper: TestHelper;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "countersign-proofs-"));
    helper = testHelper();
  });

  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
    helper.remove();
  });

  async function opened(policy: string): Promise<Awaited<ReturnType<typeof openGate>>> {
    const policyFile = join(directory, "policy.yaml");
    writeFileSync(policyFile, policy);
    const env = { COUNTERSIGN_STATE_DIR: join(directory, "state"), PATH: process.env["PATH"] };
    return openGate({ policyFile, gate: "guard", coverage: () => ({ sdks: [] }), env });
  }

  test("remembers used proofs in the state directory: another gate there knows them", async () => {
    const [one, two] = [await opened(policyText()), await opened(policyText())];
    try {
      const call = await proven(read());
      expect(await one.decide(call)).toMatchObject({ reason: "permitted" });
      expect(await two.decide(copied(call))).toMatchObject({ reason: "identity_replayed" });
      const place = join(directory, "state", "replay");
      expect(statSync(place).mode & 0o777).toBe(0o700);
      expect(readdirSync(place)).toHaveLength(1);
    } finally {
      await one.stop("shutdown", AbortSignal.timeout(1000));
      await two.stop("shutdown", AbortSignal.timeout(1000));
    }
  });

  test("knows the human by the helper that the policy names, on stdio", async () => {
    const credential = await login.credential("id_token_cnf");
    helper.gives(credential);
    const exec = `process: { exec: ${JSON.stringify(helper.command)} }`;
    const gate = await opened(policyText(`minimum: token_bound\n  ${exec}`));
    try {
      const verdict = await gate.decide(read());
      expect(verdict).toMatchObject({
        reason: "permitted",
        human: { assurance: "token_bound", method: "process_token", subject: SUBJECT },
      });
      expect(verdict.subject?.reveal()).toBe(credential.token);
      expect(await gate.decide(toolCall("refund", { id: "T-1" }))).toMatchObject({
        reason: "identity_too_weak",
        human: { assurance: "token_bound" },
        effect: "block",
      });
      expect(await gate.decide(await proven(toolCall("refund", { id: "T-1" })))).toMatchObject({
        reason: "permitted",
        human: { assurance: "call_bound" },
      });
      expect(await gate.decide(read("T-1", { transport: "http" }))).toMatchObject({
        reason: "identity_missing",
      });
      expect(helper.asked()).toEqual([{ audience: SERVER, resources: [] }]);
    } finally {
      await gate.stop("shutdown", AbortSignal.timeout(1000));
    }
    const journal = join(directory, "state", "journal");
    const written = readdirSync(journal, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
      .join("\n");
    expect(written).toContain("token_bound");
    for (const part of credential.token.split(".")) expect(written).not.toContain(part);
  });

  test.each([
    ["nobody is logged in", "exit 1", "identity_missing"],
    ["the helper fails", "exit 3", "identity_unavailable"],
    ["the helper is garbage", "echo garbage", "identity_unavailable"],
  ])("when %s", async (_, script, reason) => {
    helper.does(script);
    const exec = `process: { exec: ${JSON.stringify(helper.command)} }`;
    const gate = await opened(policyText(`minimum: token_bound\n  ${exec}`));
    try {
      expect(await gate.decide(read())).toMatchObject({ reason, effect: "block", recorded: true });
    } finally {
      await gate.stop("shutdown", AbortSignal.timeout(1000));
    }
  });
});
