// The graph with components that only write down what happens to them.
import { CountersignError, silentLogger } from "@countersign/model";
import { expect, test } from "vitest";
import { readConfig } from "./config.ts";
import type { Consumer, Traces } from "./consumer.ts";
import { createGraph, type Graph } from "./graph.ts";
import { createMetrics } from "./metrics.ts";
import type { ComponentSpec, PipelineInputs } from "./spec.ts";

const SIGNAL = new AbortController().signal;
const EMPTY = { type: "object", additionalProperties: false, properties: {} } as const;

interface World {
  readonly diary: string[];
  readonly graph: Graph;
  inputs: PipelineInputs;
}

interface Faults {
  readonly start?: string;
  readonly stop?: string;
  readonly consume?: (id: string) => Promise<void>;
}

function world(pipelines: string, faults: Faults = {}): World {
  const diary: string[] = [];
  const one = { diary } as { diary: string[]; graph: Graph; inputs: PipelineInputs };
  const life = (id: string) => ({
    start: async () => {
      diary.push(`start ${id}`);
      if (faults.start === id) throw new CountersignError("UNAVAILABLE", `${id}: port taken`);
    },
    stop: async () => {
      diary.push(`stop ${id}`);
      if (faults.stop === id) throw new Error(`${id} hangs`);
    },
  });
  const base = { stability: "beta", summary: "x", signals: ["traces"], config: EMPTY } as const;
  const components: ComponentSpec[] = [
    {
      ...base,
      kind: "receiver",
      type: "in",
      gives: { traces: "traces" },
      create: (_config: object, { id }, next) => {
        one.inputs = next;
        return life(id);
      },
    },
    {
      ...base,
      kind: "processor",
      type: "step",
      takes: "traces",
      gives: "traces",
      create: (_config: object, { id }, next) => ({
        ...life(id),
        consume: (batch: never, signal: AbortSignal) => (
          diary.push(`through ${id}`),
          next.consume(batch, signal)
        ),
      }),
    },
    {
      ...base,
      kind: "exporter",
      type: "out",
      takes: ["traces"],
      create: (_config: object, { id }) => ({
        ...life(id),
        consume: async () => {
          diary.push(`at ${id}`);
          await faults.consume?.(id);
        },
      }),
    },
    { ...base, kind: "extension", type: "side", create: (_config: object, { id }) => life(id) },
  ];
  const text = `
receivers: { in: {} }
processors: { step/a: {}, step/b: {} }
exporters: { out/1: {}, out/2: {} }
extensions: { side: {} }
service:
  extensions: [side]
  pipelines: ${pipelines}
`;
  const { config, problems } = readConfig({ text, file: "f", components, env: {} });
  expect(problems).toEqual([]);
  if (config === undefined) throw new Error("no config");
  return Object.assign(one, {
    graph: createGraph({ config, metrics: createMetrics(), logger: () => silentLogger }),
  });
}

const ONE =
  "{ traces: { receivers: [in], processors: [step/a, step/b], exporters: [out/1, out/2] } }";
const batch: Traces = { resourceSpans: [] };

const send = (inputs: PipelineInputs): Promise<void>[] =>
  inputs.traces.map(({ consumer }: { consumer: Consumer<Traces> }) =>
    consumer.consume(batch, SIGNAL),
  );

test("consumers start before producers, receivers stop first", async () => {
  const { graph, diary } = world(ONE);
  expect(graph.health().phase).toBe("starting");
  await graph.start(SIGNAL);
  expect(graph.health().phase).toBe("running");
  await graph.stop(AbortSignal.timeout(1000));
  await graph.stop(AbortSignal.timeout(1000));
  expect(graph.health().phase).toBe("stopping");
  expect(diary).toEqual([
    "start out/1",
    "start out/2",
    "start step/b",
    "start step/a",
    "start side",
    "start in",
    "stop in",
    "stop step/a",
    "stop step/b",
    "stop side",
    "stop out/1",
    "stop out/2",
  ]);
});

test("a batch goes through the processors in order and to every exporter", async () => {
  const { inputs, diary } = world(ONE);
  await Promise.all(send(inputs));
  expect(diary).toEqual(["through step/a", "through step/b", "at out/1", "at out/2"]);
});

const fail = (id: string): Promise<void> =>
  id === "out/2" ? Promise.reject(new CountersignError("UNAVAILABLE", "down")) : Promise.resolve();

test("one exporter that fails is a failure", async () => {
  const { inputs } = world(ONE, { consume: fail });
  await expect(Promise.all(send(inputs))).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("`on_full: drop`: a pipeline that stands still never holds up another", async () => {
  const pipelines =
    "{ traces: { receivers: [in], exporters: [out/1] }, traces/slow: { receivers: [in], exporters: [out/2], on_full: drop } }";
  const { promise, resolve } = Promise.withResolvers<void>();
  const { inputs, diary, graph } = world(pipelines, {
    consume: (id) => (id === "out/2" ? promise : Promise.resolve()),
  });
  await Promise.all(send(inputs));
  expect(diary).toEqual(["at out/1", "at out/2"]);
  resolve();
  await graph.stop(AbortSignal.timeout(1000));
});

test("a component that cannot start keeps those after it from starting", async () => {
  const { graph, diary } = world(ONE, { start: "side" });
  await expect(graph.start(SIGNAL)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: "side: port taken",
  });
  expect(diary).not.toContain("start in");
});

test("one component that cannot stop does not keep the others from it", async () => {
  const { graph, diary } = world(ONE, { stop: "step/a" });
  await graph.start(SIGNAL);
  await expect(graph.stop(AbortSignal.timeout(1000))).rejects.toMatchObject({
    errors: [new Error("step/a hangs")],
  });
  expect(diary.slice(-2)).toEqual(["stop out/1", "stop out/2"]);
});
