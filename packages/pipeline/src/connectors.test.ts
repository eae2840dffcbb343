// Connectors in a configuration and in a graph, with components that only write down what happens to them.
import { silentLogger } from "@countersign/model";
import { formatProblem } from "@countersign/model/document";
import { expect, test } from "vitest";
import { type LoadedConfig, readConfig } from "./config.ts";
import type { Decisions, Rebuilding } from "./consumer.ts";
import { createGraph, type Graph } from "./graph.ts";
import { createMetrics } from "./metrics.ts";
import type { ComponentSpec, PipelineInputs } from "./spec.ts";

const SIGNAL = new AbortController().signal;
const EMPTY = { type: "object", additionalProperties: false, properties: {} } as const;
const LOG = {
  type: "object",
  additionalProperties: false,
  required: ["from"],
  properties: { from: { type: "string" } },
} as const;

interface Diary {
  readonly lines: string[];
  readonly inputs: Map<string, PipelineInputs>;
}

function specs({ lines, inputs }: Diary): ComponentSpec[] {
  const life = (id: string) => ({
    start: async () => void lines.push(`start ${id}`),
    stop: async () => void lines.push(`stop ${id}`),
  });
  const base = { stability: "beta", summary: "x", config: EMPTY } as const;
  const decisions = { ...base, signals: ["decisions"] } as const;
  const receiver = (type: string): ComponentSpec => ({
    ...base,
    signals: ["traces", "decisions"],
    kind: "receiver",
    type,
    gives: { traces: "traces", decisions: "decisions" },
    create: (_config: object, { id }, next) => (inputs.set(id, next), life(id)),
  });
  const passOn = (id: string, next: PipelineInputs) => ({
    ...life(id),
    consume: async (batch: Decisions, signal: AbortSignal) => {
      lines.push(`through ${id}`);
      for (const { consumer } of next.decisions) await consumer.consume(batch, signal);
    },
  });
  return [
    receiver("in"),
    {
      ...decisions,
      kind: "receiver",
      type: "log",
      config: LOG,
      pulls: true,
      gives: { decisions: "decisions" },
      references: ({ from }: { from: string }) => [
        { path: ["from"], id: from, kind: "exporter", feeds: true },
      ],
      create: (_config: object, { id }, next) => (inputs.set(id, next), life(id)),
    },
    {
      ...decisions,
      kind: "processor",
      type: "step",
      takes: "decisions",
      gives: "decisions",
      create: (_config: object, { id }, next) => ({
        ...life(id),
        consume: (batch: never, signal: AbortSignal) => (
          lines.push(`through ${id}`),
          next.consume(batch, signal)
        ),
      }),
    },
    {
      ...decisions,
      kind: "exporter",
      type: "out",
      takes: ["decisions"],
      keepsLetters: true,
      create: (_config: object, { id }) => ({
        ...life(id),
        consume: async () => void lines.push(`at ${id}`),
      }),
    },
    {
      ...base,
      signals: ["traces", "decisions"],
      kind: "connector",
      type: "turn",
      from: "traces",
      to: "decisions",
      gives: "decisions",
      create: (_config: object, { id }, next) => passOn(id, next) as never,
    },
    {
      ...decisions,
      kind: "connector",
      type: "look",
      from: "decisions",
      to: "decisions",
      gives: "decisions",
      readsLog: true,
      endsLoops: true,
      create: (_config: object, { id }, next) => ({
        ...(passOn(id, next) as never as object & ReturnType<typeof life>),
        consume: passOn(id, next).consume as never,
        rebuildFrom: () => 7n,
      }),
    },
    {
      ...decisions,
      kind: "connector",
      type: "copy",
      from: "decisions",
      to: "decisions",
      gives: "decisions",
      create: (_config: object, { id }, next) => passOn(id, next) as never,
    },
  ];
}

function load(pipelines: string, diary: Diary = { lines: [], inputs: new Map() }): LoadedConfig {
  const text = `
receivers: { in: {}, log: { from: out } }
processors: { step: {} }
connectors: { turn: {}, look: {}, copy/a: {}, copy/b: {} }
exporters: { out: {}, out/dead: {} }
service:
  dead_letter: out/dead
  pipelines:
${pipelines}
`;
  return readConfig({ text, file: "f", components: specs(diary), env: {} });
}

const problems = (pipelines: string): readonly string[] =>
  load(pipelines).problems.map(formatProblem);

const STORY = `
    decisions/findings: { receivers: [look], processors: [step], exporters: [out] }
    decisions/look: { receivers: [log], exporters: [look] }
    traces/foreign: { receivers: [in], exporters: [turn] }
    decisions: { receivers: [in, turn], exporters: [out] }
`;

function world(): Diary & { readonly graph: Graph } {
  const diary: Diary = { lines: [], inputs: new Map() };
  const { config } = load(STORY, diary);
  if (config === undefined) throw new Error("no config");
  const graph = createGraph({ config, metrics: createMetrics(), logger: () => silentLogger });
  return { ...diary, graph };
}

test("a connector starts after what it gives to, and stops after what gives to it", async () => {
  expect(problems(STORY)).toEqual([]);
  const { graph, lines } = world();
  await graph.start(SIGNAL);
  await graph.stop(AbortSignal.timeout(1000));
  const at = (line: string): number => {
    expect(lines).toContain(line);
    return lines.indexOf(line);
  };
  expect(at("start out")).toBeLessThan(at("start look"));
  expect(at("start step")).toBeLessThan(at("start look"));
  expect(at("start look")).toBeLessThan(at("start log"));
  expect(at("start turn")).toBeLessThan(at("start in"));
  expect(at("stop log")).toBeLessThan(at("stop look"));
  expect(at("stop look")).toBeLessThan(at("stop step"));
  expect(at("stop step")).toBeLessThan(at("stop out"));
  expect(lines.filter((line) => line === "start look")).toHaveLength(1);
});

test("what goes into a connector comes out at every pipeline that begins in it", async () => {
  const { inputs, lines, graph } = world();
  for (const { consumer } of inputs.get("log")?.decisions ?? [])
    await consumer.consume({ events: [{} as never] }, SIGNAL);
  expect(lines).toEqual(["through look", "through step", "at out"]);
  expect(graph.component("connector", "look")).toBeDefined();
});

test("a receiver that keeps its place learns from where a connector has to read again", () => {
  const { inputs } = world();
  const [input] = inputs.get("log")?.decisions ?? [];
  const rebuilding: Rebuilding | undefined = input?.rebuilding;
  expect(rebuilding?.rebuildFrom("l", 0)).toBe(7n);
  expect(inputs.get("in")?.decisions[0]?.rebuilding).toBeUndefined();
});

test("a connector wants both ends, a log if it says so, and a pipeline of its own", () => {
  const text = problems(`
    decisions: { receivers: [in], processors: [step], exporters: [look, out] }
    decisions/b: { receivers: [turn], exporters: [out] }
    traces: { receivers: [look], exporters: [turn] }
`).join("\n");
  expect(text).toContain("connector look makes its state of a log, and this is none");
  expect(text).toContain(
    "connector look may read parts of the log again, so it ends a pipeline alone",
  );
  expect(text).toContain("connector look has to see the log as it is");
  expect(text).toContain("connector look does not do traces");
  const ends = problems(`
    decisions: { receivers: [turn], exporters: [copy/a] }
`).join("\n");
  expect(ends).toContain("f:4:15: connectors.turn: nothing goes into connector turn");
  expect(ends).toContain("nothing takes what connector copy/a makes");
});

test("loops: through the log only if a connector ends them, from pipeline to pipeline never", () => {
  const through = problems(`
    decisions: { receivers: [log], exporters: [copy/a] }
    decisions/b: { receivers: [copy/a], exporters: [out] }
`);
  expect(through).toHaveLength(1);
  expect(through[0]).toContain("a loop: what this pipeline reads from out comes back to it");
  const round = problems(`
    decisions: { receivers: [in, copy/b], exporters: [copy/a] }
    decisions/b: { receivers: [copy/a], exporters: [copy/b] }
`);
  expect(round.join("\n")).toContain(
    "a loop: what this pipeline gets from copy/b goes back into it",
  );
});

test("a name is one of a receiver, an exporter or a connector", () => {
  const { problems: found } = readConfig({
    text: `
receivers: { in: {} }
connectors: { copy: {} }
exporters: { out: {}, copy: {} }
service: { pipelines: { decisions: { receivers: [in], exporters: [out] } } }
`,
    file: "f",
    components: specs({ lines: [], inputs: new Map() }).map((spec) =>
      spec.type === "out" ? { ...spec, type: "copy" } : spec,
    ),
    env: {},
  });
  expect(found.map(formatProblem).join("\n")).toContain("copy is also a receiver or an exporter");
});
