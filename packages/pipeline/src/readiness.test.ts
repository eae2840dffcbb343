// Whose failure refuses a sender, by where it stands.
import { silentLogger } from "@countersign/model";
import { expect, test } from "vitest";
import { readConfig } from "./config.ts";
import { createGraph } from "./graph.ts";
import { createMetrics } from "./metrics.ts";
import type { ComponentSpec, Runtime } from "./spec.ts";

const life = { start: () => Promise.resolve(), stop: () => Promise.resolve() };
const part = { ...life, consume: () => Promise.resolve() };
const empty = { type: "object", additionalProperties: false, properties: {} } as const;

function specs(runtimes: Map<string, Runtime>): ComponentSpec[] {
  const base = {
    stability: "beta",
    summary: "x",
    signals: ["traces", "decisions"],
    config: empty,
  } as const;
  const receiver = { ...base, kind: "receiver", create: () => life } as const;
  const gives = { traces: "traces", decisions: "decisions" } as const;
  const connector = { ...base, kind: "connector", gives: "decisions", create: () => part } as const;
  return [
    { ...receiver, type: "push", gives },
    { ...receiver, type: "log", gives: { decisions: "decisions" }, pulls: true },
    { ...connector, type: "turn", from: "traces", to: "decisions" },
    { ...connector, type: "look", from: "decisions", to: "decisions" },
    {
      ...base,
      kind: "exporter",
      type: "out",
      takes: ["traces", "decisions"],
      keepsLetters: true,
      keepsReceipts: true,
      create: (_config: object, runtime) => (runtimes.set(runtime.id, runtime), part),
    },
  ];
}

/** What stands beside the way in, and what metrics say once every exporter failed. */
function service(
  pipelines: string,
  kept = "dead_letter: out/letters,",
): { beside: readonly string[]; halted: number } {
  const runtimes = new Map<string, Runtime>();
  const text = `
receivers: { push: {}, log: {} }
connectors: { turn: {}, look: {} }
exporters: { out/a: {}, out/b: {}, out/letters: {}, out/kept: {}, log: {} }
service: { ${kept} pipelines: ${pipelines} }
`;
  const components = [
    ...specs(runtimes),
    ...specs(runtimes).flatMap((spec) =>
      spec.kind === "exporter" ? [{ ...spec, type: "log" }] : [],
    ),
  ];
  const { config, problems } = readConfig({ text, file: "f", components, env: {} });
  if (config === undefined) throw new Error(problems.map(({ message }) => message).join());
  const metrics = createMetrics();
  const graph = createGraph({ config, metrics, logger: () => silentLogger });
  for (const runtime of runtimes.values()) runtime.report({ state: "failed" });
  const halted = metrics.render().match(/exporter_halted\{[^}]+\} 1$/gm) ?? [];
  return { beside: [...graph.health().beside].toSorted(), halted: halted.length };
}

test("what only a log feeds refuses nobody, and neither does the reader of the log", () => {
  const found = service(`{
    decisions: { receivers: [push], exporters: [out/a] },
    decisions/siem: { receivers: [log], exporters: [out/b] } }`);
  expect(found).toEqual({ beside: ["exporter out/b", "receiver log"], halted: 3 });
});

test("one that a sender's events reach, too, counts", () => {
  const both = `{
    decisions: { receivers: [push], exporters: [out/a] },
    decisions/siem: { receivers: [log], exporters: [out/a] } }`;
  expect(service(both).beside).toEqual(["receiver log"]);
});

test("an exporter with the id of a receiver is on the way in, and what that receiver reads is not", () => {
  const found = service(`{
    decisions: { receivers: [push], exporters: [log] },
    decisions/siem: { receivers: [log], exporters: [out/b] } }`);
  expect(found.beside).toEqual(["exporter out/b", "receiver log"]);
});

test("connectors carry it on: those of spans that were sent, and those that read a log", () => {
  const found = service(`{
    traces: { receivers: [push], exporters: [turn] },
    decisions: { receivers: [turn], exporters: [out/a] },
    decisions/look: { receivers: [log], exporters: [look] },
    decisions/findings: { receivers: [look], exporters: [out/b] } }`);
  expect(found.beside).toEqual(["exporter out/b", "receiver log"]);
});

test("spans that may be dropped refuse nobody", () => {
  const found = service(`{
    traces: { receivers: [push], exporters: [out/b], on_full: drop },
    decisions: { receivers: [push], exporters: [out/a] } }`);
  expect(found.beside).toEqual(["exporter out/b"]);
});

test("letters are on the way in where events are sent; receipts never are", () => {
  const kept = "dead_letter: out/letters, receipts: out/kept,";
  const log = "decisions/siem: { receivers: [log], exporters: [out/b] }";
  const sent = `{ decisions: { receivers: [push], exporters: [out/a] }, ${log} }`;
  expect(service(sent, kept).beside).toEqual([
    "exporter out/b",
    "exporter out/kept",
    "receiver log",
  ]);
  expect(service(`{ ${log} }`, kept).beside).toEqual([
    "exporter out/b",
    "exporter out/kept",
    "exporter out/letters",
    "receiver log",
  ]);
});
