import { afterEach, describe, expect, test } from "vitest";
import type { McpCall } from "./call.ts";
import {
  delegating,
  policyText,
  testGate,
  type TestGate,
  type TestGateOptions,
  toolCall,
  TOOLS,
  TUPLES,
} from "./testing/gate.ts";

function day(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
}

const policy = policyText(`mode: observe\nuntil: ${day(3)}\n${TOOLS}`, TUPLES);

const open: TestGate[] = [];

function make(options: Partial<TestGateOptions> = {}): TestGate {
  const made = testGate({ policy, ...options });
  open.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((made) => made.close()));
});

const read = (id: unknown, more?: Partial<McpCall>): McpCall =>
  toolCall("read_ticket", { id }, more);

describe("observe", () => {
  test("every call runs, and the verdict is sealed with effect run", async () => {
    const made = make();
    const call = read("T-9");
    const verdict = await made.gate.decide(call);
    expect(verdict).toMatchObject({
      decision: "deny",
      reason: "forbidden",
      effect: "run",
      mode: "observe",
    });
    expect(made.decisions()[0]).toMatchObject({ decision: "deny", effect: "run", mode: "observe" });
    made.gate.finish(call, verdict, { status: "completed", durationUs: 1 });
    await expect.poll(() => made.outcomes()).toHaveLength(1);
  });

  test("but not what no parser could read", async () => {
    const made = make();
    expect(await made.gate.decide(read("T-1", { fault: "malformed" }))).toMatchObject({
      reason: "malformed",
      effect: "block",
    });
  });

  test("a call that could not be recorded runs, and the loss is noted", async () => {
    const lost: number[] = [];
    const made = make({
      journal: (real) => ({
        ...delegating(real),
        append: () => Promise.reject(new Error("disk")),
        noteUnrecorded: (count) => void lost.push(count),
      }),
    });
    expect(await made.gate.decide(read("T-1"))).toMatchObject({ effect: "run", recorded: false });
    expect(made.journal.counters).toMatchObject({ unrecorded: 1, auditDenied: 0 });
    expect(lost).toEqual([1]);
  });

  test("when `until` passes while the process runs, the gate enforces", async () => {
    let nowMs = Date.now();
    const made = make({ policy, clock: { now: () => nowMs, monotonic: () => performance.now() } });
    expect(await made.gate.decide(read("T-9"))).toMatchObject({ effect: "run", mode: "observe" });
    nowMs += 4 * 86_400_000;
    expect(await made.gate.decide(read("T-9"))).toMatchObject({ effect: "block", mode: "enforce" });
  });
});
