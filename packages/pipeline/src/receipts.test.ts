import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CountersignError, type SealedEvent, silentLogger, unseal } from "@countersign/model";
import { expect, test } from "vitest";
import { readConfig } from "./config.ts";
import type { Consumer, Decisions } from "./consumer.ts";
import { createGraph, type Graph } from "./graph.ts";
import type { Letter } from "./letters.ts";
import { merkleRoot } from "./merkle-root.ts";
import { createMetrics } from "./metrics.ts";
import type { Receipt } from "./receipts.ts";
import type { ComponentSpec, PipelineInputs } from "./spec.ts";

const SIGNAL = new AbortController().signal;
const EMPTY = { type: "object", additionalProperties: false, properties: {} } as const;
const chain = join(import.meta.dirname, "..", "..", "model", "src", "testdata", "chain.jsonl");
const lines = readFileSync(chain, "utf8").trimEnd().split("\n");
const events: readonly SealedEvent[] = lines.map((line) => unseal(Buffer.from(line, "utf8")));

// Computed by another program over the same seven events.
const ROOT_OF_SEVEN = "24731a8535f27767bb4378996b5b79e3eddd23cb8b25cd0baba0205edb812dad";

test("the root is that of RFC 6962", () => {
  expect(merkleRoot(events.map(({ bytes }) => bytes))).toBe(ROOT_OF_SEVEN);
  expect(merkleRoot([])).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect(merkleRoot([Buffer.alloc(0)])).toBe(
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  );
});

interface World {
  readonly graph: Graph;
  readonly receipts: Receipt[];
  readonly letters: Letter[];
  readonly starts: string[];
  readonly consume: (batch: Decisions) => Promise<void>;
}

interface Sink {
  readonly consume: (batch: Decisions) => Promise<void>;
  readonly keep?: () => Promise<void>;
  readonly deposit?: () => Promise<void>;
}

const base = { stability: "beta", summary: "x", signals: ["decisions"], config: EMPTY } as const;
const still = { start: () => Promise.resolve(), stop: () => Promise.resolve() };

function world(sink: Sink, service = "receipts: box"): World {
  const receipts: Receipt[] = [];
  const letters: Letter[] = [];
  const starts: string[] = [];
  let inputs: PipelineInputs | undefined;
  const components: ComponentSpec[] = [
    {
      ...base,
      kind: "receiver",
      type: "log",
      gives: { decisions: "decisions" },
      pulls: true,
      create: (_config: object, _runtime, next) => ((inputs = next), still),
    },
    {
      ...base,
      kind: "processor",
      type: "only",
      takes: "decisions",
      gives: "decisions",
      create: (_config: object, _runtime, next: Consumer<Decisions>) => ({
        ...still,
        consume: async (batch: Decisions, signal: AbortSignal) => {
          const kept = batch.events.filter(({ event }) => event.type.includes("decision"));
          if (kept.length > 0) await next.consume({ ...batch, events: kept }, signal);
        },
      }),
    },
    {
      ...base,
      kind: "exporter",
      type: "siem",
      takes: ["decisions"],
      create: () => ({
        ...still,
        mapping: "ecs@9.4.0+1",
        acknowledgementOf: () => ({ kind: "hec_ack", id: "2471" }),
        consume: sink.consume,
      }),
    },
    {
      ...base,
      kind: "exporter",
      type: "box",
      takes: ["decisions"],
      keepsLetters: true,
      keepsReceipts: true,
      config: {
        type: "object",
        additionalProperties: false,
        properties: { client: { type: "string" } },
      },
      references: ({ client }: { client?: string }) =>
        client === undefined ? [] : [{ path: ["client"], id: client, kind: "client" }],
      create: (_config: object, { id, service: view }) => ({
        start: async () => void starts.push(`${id} with ${typeof view.client("main")}`),
        stop: async () => void starts.push(`stop ${id}`),
        consume: () => Promise.resolve(),
        deposit: async (some: readonly Letter[]) => {
          await sink.deposit?.();
          letters.push(...some);
        },
        keep: async (some: readonly Receipt[]) => {
          await sink.keep?.();
          receipts.push(...some);
        },
      }),
    },
    {
      ...base,
      kind: "client",
      type: "kafka",
      create: (_config: object, { id }) => ({
        start: async () => void starts.push(`client ${id}`),
        stop: async () => void starts.push(`stop client ${id}`),
      }),
    },
  ];
  const text = `
clients: { main: {} }
receivers: { log: {} }
processors: { only: {} }
exporters: { siem: {}, box: { client: main } }
service:
  dead_letter: box
  ${service}
  pipelines:
    decisions: { receivers: [log], processors: [only], exporters: [siem] }
`;
  const { config, problems } = readConfig({ text, file: "f", env: {}, components });
  if (config === undefined) throw new Error(JSON.stringify(problems));
  const graph = createGraph({ config, metrics: createMetrics(), logger: () => silentLogger });
  const head = inputs?.decisions[0]?.consumer;
  return {
    graph,
    receipts,
    letters,
    starts,
    consume: (batch) => head?.consume(batch, SIGNAL) ?? Promise.reject(new Error("no input")),
  };
}

const batchOf = (some: readonly SealedEvent[]): Decisions => ({
  events: some,
  origin: { log: "countersign.events.v1", partition: 5, first: 88_210n, last: 88_216n },
});
const decisions = events.filter(({ event }) => event.type.includes("decision")).length;

test("a receipt says what became of a range, filtered events included", async () => {
  const { consume, receipts } = world({ consume: () => Promise.resolve() });
  await consume(batchOf(events));
  expect(receipts).toEqual([
    {
      version: 1,
      sink: "siem",
      log: "countersign.events.v1",
      partition: 5,
      firstOffset: "88210",
      lastOffset: "88216",
      events: 7,
      delivered: decisions,
      filtered: 7 - decisions,
      deadLettered: 0,
      root: ROOT_OF_SEVEN,
      mapping: "ecs@9.4.0+1",
      acknowledgement: { kind: "hec_ack", id: "2471" },
      time: expect.stringMatching(/Z$/) as string,
    },
  ]);
});

test("a range of which nothing went out has its receipt too", async () => {
  const { consume, receipts } = world({ consume: () => Promise.resolve() });
  const none = events.filter(({ event }) => !event.type.includes("decision"));
  await consume(batchOf(none));
  expect(receipts).toMatchObject([
    { events: none.length, delivered: 0, filtered: none.length, deadLettered: 0 },
  ]);
});

test("what the sink refuses for good is counted as dead-lettered, with sink and attempts in its letter", async () => {
  let attempts = 0;
  const { consume, receipts, letters } = world({
    consume: async () => {
      attempts += 1;
      if (attempts === 1)
        throw new CountersignError("UNAVAILABLE", "siem: away", { retryAfterMs: 0 });
      throw new CountersignError("REJECTED", "siem: no", { failed: [0] });
    },
  });
  await consume(batchOf(events));
  expect(receipts).toMatchObject([{ delivered: decisions - 1, deadLettered: 1 }]);
  expect(letters).toMatchObject([{ sink: "siem", attempts: 2, reason: "rejected" }]);
  expect(letters[0]?.event?.hash).toBe(letters[0]?.hash);
});

test("a letter that cannot be kept yet sends its event again, and not what the sink has", async () => {
  const sent: number[] = [];
  let deposits = 0;
  const { consume, receipts, letters } = world({
    consume: async (batch) => {
      sent.push(batch.events.length);
      throw new CountersignError("REJECTED", "siem: no", { failed: [0] });
    },
    deposit: async () => {
      deposits += 1;
      if (deposits < 3) throw new CountersignError("UNAVAILABLE", "box: away");
    },
  });
  await consume(batchOf(events));
  expect([sent, letters.length]).toEqual([[decisions, 1, 1], 1]);
  expect(receipts).toMatchObject([
    { delivered: decisions - 1, deadLettered: 1, filtered: 7 - decisions },
  ]);
});

test("no receipt before the sink took the batch, and the batch is not taken before its receipt is kept", async () => {
  let kept = 0;
  const { consume, receipts } = world({
    consume: () => Promise.resolve(),
    keep: async () => {
      kept += 1;
      if (kept < 2) throw new CountersignError("UNAVAILABLE", "box: away");
    },
  });
  await consume(batchOf(events));
  expect([kept, receipts.length]).toEqual([2, 1]);

  const refused = world({
    consume: () => Promise.reject(new CountersignError("CANCELLED", "siem: stopped")),
  });
  await expect(refused.consume(batchOf(events))).rejects.toMatchObject({ code: "CANCELLED" });
  expect(refused.receipts).toEqual([]);
});

test("clients start first and stop last, and are found by their names", async () => {
  const { graph, starts } = world({ consume: () => Promise.resolve() });
  await graph.start(SIGNAL);
  await graph.stop(SIGNAL);
  expect(starts).toEqual(["client main", "box with object", "stop box", "stop client main"]);
});

test("without a place for them there are no receipts", async () => {
  const { consume, receipts } = world({ consume: () => Promise.resolve() }, "extensions: []");
  await consume(batchOf(events));
  expect(receipts).toEqual([]);
});

test("only an exporter that keeps receipts can keep them", () => {
  expect(() => world({ consume: () => Promise.resolve() }, "receipts: siem")).toThrow(
    /exporter siem cannot keep receipts/,
  );
});
