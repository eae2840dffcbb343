import { ROOT_CONTEXT, context, createTraceState, propagation, trace } from "@opentelemetry/api";
import type { Gate } from "@countersign/gate";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type IncomingCall, createEnforcer } from "./enforce.ts";
import { startOutgoing } from "./outgoing-span.ts";
import { type GateScene, openScene } from "./testing/gate-scene.ts";
import { type TraceRecorder, recordTraces } from "./testing/trace-recorder.ts";

let scene: GateScene;
let recorder: TraceRecorder;
beforeAll(() => {
  recorder = recordTraces();
});
beforeEach(() => {
  recorder.reset();
  scene = openScene();
  return () => scene.close();
});
afterAll(() => recorder.close());

function aCall(more: Partial<IncomingCall> = {}): IncomingCall {
  return {
    method: "tools/call",
    params: { name: "read_ticket", arguments: { id: "T-1" } },
    requestId: 7,
    transport: "stdio",
    gate: "in_process",
    signal: new AbortController().signal,
    ...more,
  };
}

const enforcer = (more: { gate?: Gate; now?: () => number } = {}) =>
  createEnforcer(more.gate ?? scene.gate, {
    tracerProvider: recorder.provider,
    ...(more.now === undefined ? {} : { now: more.now }),
  });
const stop = () => scene.gate.stop("shutdown", AbortSignal.timeout(5_000));
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/** A clock that jumps by so much at its `n`th reading. */
function jumping(ms: readonly number[]): () => number {
  const rest = [...ms];
  return () => performance.now() + (rest.shift() ?? 0);
}

describe("a handler starts within 5 s of its decision", () => {
  test("or it is decided again, and the first decision ends not_run", async () => {
    const opened = await enforcer({ now: jumping([5_100]) }).open(aCall());
    expect(opened.effect).toBe("run");
    if (opened.effect === "run") opened.finish({ status: "completed" });
    await stop();
    const [first, second] = scene.decisions();
    expect(scene.decisions().length).toBe(2);
    const ends = new Map(scene.outcomes().map(({ data }) => [data.decisionId, data.status]));
    expect([ends.get(first?.id as string), ends.get(second?.id as string)]).toEqual([
      "not_run",
      "completed",
    ]);
  });

  test("three times at most; then the call is undecided, and refers to the last decision", async () => {
    const opened = await enforcer({ now: jumping([5_100, 5_100, 5_100]) }).open(aCall());
    await stop();
    const last = scene.decisions().at(-1);
    expect(scene.decisions().length).toBe(3);
    expect(scene.outcomes().map(({ data }) => data.status)).toEqual([
      "not_run",
      "not_run",
      "not_run",
    ]);
    expect(opened).toMatchObject({
      effect: "block",
      denial: {
        kind: "result",
        result: { content: [{ text: `Access could not be decided. Reference: ${last?.id}` }] },
      },
    });
  });
});

test("a call that is cancelled between its decision and its start does not run", async () => {
  const cancel = new AbortController();
  const { gate } = scene;
  const decide = gate.decide.bind(gate);
  gate.decide = async (call) => {
    const verdict = await decide(call);
    cancel.abort();
    return verdict;
  };
  const opened = await enforcer().open(aCall({ signal: cancel.signal }));
  await stop();
  expect(opened.effect).toBe("block");
  expect(scene.decisions().map(({ data }) => data.decision)).toEqual(["allow"]);
  expect(scene.outcomes().map(({ data }) => data.status)).toEqual(["not_run"]);
});

test.each(["ping", "initialize", "tools/list", "tools/call"])(
  "a faulty %s never runs",
  async (method) => {
    const opened = await enforcer().open(aCall({ method, fault: "malformed" }));
    expect(opened.effect).toBe("block");
    expect(scene.decisions().map(({ data }) => data.reason)).toEqual(["malformed"]);
  },
);

test("finish counts once", async () => {
  const opened = await enforcer().open(aCall());
  if (opened.effect === "run") {
    opened.finish({ status: "tool_error" });
    opened.finish({ status: "completed" });
  }
  await stop();
  expect(scene.outcomes().map(({ data }) => data.status)).toEqual(["tool_error"]);
  expect(recorder.span("tools/call read_ticket")?.attributes["error.type"]).toBe("tool_error");
});

describe("list methods", () => {
  const offered = {
    tools: [{ name: "read_ticket" }, { name: "secret_tool" }, { nameless: true }],
    nextCursor: "c",
  };

  test("show what is mapped, keep the rest of the result, and belong to one caller", async () => {
    const opened = await enforcer().open(
      aCall({ method: "tools/list", params: {}, protocolVersion: "2026-07-28" }),
    );
    const filtered = opened.effect === "run" ? await opened.filter?.(offered) : undefined;
    expect(filtered).toEqual({
      result: { tools: [{ name: "read_ticket" }], nextCursor: "c", cacheScope: "private" },
    });
  });

  test("of an older protocol have no cacheScope", async () => {
    const opened = await enforcer().open(
      aCall({ method: "tools/list", params: {}, protocolVersion: "2025-11-25" }),
    );
    const filtered = opened.effect === "run" ? await opened.filter?.(offered) : undefined;
    expect(filtered).toEqual({ result: { tools: [{ name: "read_ticket" }], nextCursor: "c" } });
  });

  test("that cannot be recorded are not answered", async () => {
    await stop();
    const opened = await enforcer().open(aCall({ method: "tools/list", params: {} }));
    const filtered = opened.effect === "run" ? await opened.filter?.(offered) : undefined;
    expect(filtered).toEqual({
      denial: {
        kind: "error",
        error: { code: -31503, message: "Access could not be recorded, so the call was not run." },
      },
    });
    expect(recorder.span("tools/list")?.attributes).toMatchObject({ "error.type": "-31503" });
  });

  test("teach the names that the server knows: one that could not be recorded otherwise is", async () => {
    const gated = enforcer();
    const odd = { tools: [{ name: "lies mich" }] };
    const opened = await gated.open(aCall({ method: "tools/list", params: {} }));
    if (opened.effect === "run") await opened.filter?.(odd);
    await gated.open(aCall({ params: { name: "lies mich" } }));
    await gated.open(aCall({ params: { name: "schreib mich" } }));
    const [, known, unknown] = scene.decisions();
    expect([known?.data.call.name, unknown?.data.call.name]).toEqual(["lies mich", undefined]);
    expect(unknown?.data.call.nameWithheld).toBe(true);
  });
});

describe("trace context", () => {
  test("the caller's is the parent, the ambient span a link", async () => {
    const ambient = recorder.provider.getTracer("http").startSpan("POST /mcp");
    const opened = await context.with(trace.setSpan(ROOT_CONTEXT, ambient), () =>
      enforcer().open(aCall({ meta: { traceparent: TRACEPARENT } })),
    );
    if (opened.effect === "run") opened.finish({ status: "completed" });
    const server = recorder.span("tools/call read_ticket");
    expect(server?.parentSpanContext?.spanId).toBe("00f067aa0ba902b7");
    expect(server?.links.map((link) => link.context.spanId)).toEqual([
      ambient.spanContext().spanId,
    ]);
  });

  test("without the caller's, the ambient span is the parent", async () => {
    const ambient = recorder.provider.getTracer("http").startSpan("POST /mcp");
    const opened = await context.with(trace.setSpan(ROOT_CONTEXT, ambient), () =>
      enforcer().open(aCall()),
    );
    if (opened.effect === "run") opened.finish({ status: "completed" });
    const server = recorder.span("tools/call read_ticket");
    expect(server?.parentSpanContext?.spanId).toBe(ambient.spanContext().spanId);
    expect(server?.links).toEqual([]);
  });

  test.each([
    "",
    "00-0-0-01",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    7,
    `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
  ])("an invalid traceparent (%s) is none", async (traceparent) => {
    await enforcer().open(aCall({ meta: { traceparent } }));
    expect(scene.decisions()[0]?.data.decision).toBe("allow");
    expect(recorder.span("authorize")?.spanContext().traceId).not.toContain("4bf92f");
  });

  test("its tracestate goes on to the handler, and into no span of ours", async () => {
    const ambient = trace.wrapSpanContext({
      traceId: "a".repeat(32),
      spanId: "b".repeat(16),
      traceFlags: 1,
      traceState: createTraceState("h=secret"),
    });
    const opened = await context.with(trace.setSpan(ROOT_CONTEXT, ambient), () =>
      enforcer().open(aCall({ meta: { traceparent: TRACEPARENT, tracestate: "v=secret" } })),
    );
    if (opened.effect !== "run") throw new Error("blocked");
    const carrier: Record<string, string> = {};
    opened.run(() => {
      propagation.inject(context.active(), carrier);
      trace.getActiveSpan()?.setAttribute("by.handler", true);
      startOutgoing({ method: "roots/list", transport: "stdio" }, recorder.provider).run(() => 0);
    });
    opened.finish({ status: "completed" });
    await expect.poll(() => recorder.spans()).toHaveLength(3);
    const server = recorder.span("tools/call read_ticket");
    expect(carrier).toEqual({
      traceparent: `00-4bf92f3577b34da6a3ce929d0e0e4736-${server?.spanContext().spanId}-01`,
      tracestate: "v=secret",
    });
    expect(server?.attributes).toMatchObject({ "by.handler": true });
    for (const span of recorder.spans()) {
      expect(span.spanContext().traceState).toBeUndefined();
      expect(span.links.filter((link) => link.context.traceState !== undefined)).toEqual([]);
    }
  });

  test("flag 00 leaves the spans unrecorded and the event as it is", async () => {
    const traceparent = TRACEPARENT.replace(/01$/, "00");
    const opened = await enforcer().open(aCall({ meta: { traceparent, tracestate: "v=secret" } }));
    if (opened.effect === "run") opened.finish({ status: "completed" });
    expect(recorder.spans()).toEqual([]);
    const [decision] = scene.decisions();
    expect(decision?.traceparent).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-00$/);
    expect(JSON.stringify(decision)).not.toContain("secret");
  });
});

test("without OpenTelemetry in the process the event still joins the caller's trace", async () => {
  const opened = await createEnforcer(scene.gate).open(
    aCall({ meta: { traceparent: TRACEPARENT } }),
  );
  expect(opened.effect).toBe("run");
  expect(scene.decisions()[0]?.traceparent).toBe(TRACEPARENT);
});

test("an error decision is an error of authorize; its reason is the type", async () => {
  const cancel = new AbortController();
  cancel.abort();
  await enforcer().open(aCall({ signal: cancel.signal }));
  expect(recorder.span("authorize")?.attributes).toMatchObject({
    "countersign.decision": "error",
    "countersign.reason": "cancelled",
    "error.type": "cancelled",
  });
  expect(recorder.span("authorize")?.status.code).toBe(2);
});

test("a name that only * takes names no span, until the server lists it", async () => {
  const gate = enforcer();
  const prompt = { method: "prompts/get", params: { name: "greet" } };
  const first = await gate.open(aCall(prompt));
  if (first.effect === "run") first.finish({ status: "completed" });
  expect(recorder.span("prompts/get")?.attributes).not.toHaveProperty("gen_ai.prompt.name");
  const list = await gate.open(aCall({ method: "prompts/list" }));
  if (list.effect === "run") await list.filter?.({ prompts: [{ name: "greet" }] });
  const second = await gate.open(aCall(prompt));
  if (second.effect === "run") second.finish({ status: "completed" });
  expect(recorder.span("prompts/get greet")?.attributes).toMatchObject({
    "gen_ai.prompt.name": "greet",
  });
});

test("opt-in attributes: only when asked for by name", async () => {
  const opened = await createEnforcer(scene.gate, {
    tracerProvider: recorder.provider,
    optIn: { checks: true, identity: true },
  }).open(aCall());
  expect(opened.effect).toBe("run");
  expect(recorder.span("authorize")?.attributes).toMatchObject({
    "countersign.resource.id": "T-1",
    "countersign.subject.type": "user",
    "countersign.subject.id": "alice",
    "countersign.human.subject": "alice",
    "countersign.check.resources": ["ticket:T-1"],
    "countersign.check.verdicts": ["allow"],
  });
});
