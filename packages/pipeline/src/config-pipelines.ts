import { nearestName } from "@countersign/model/document";
import { parseComponentId } from "./component-id.ts";
import type { Config, Configured, ConfiguredPipeline } from "./configured.ts";
import type { CheckedComponents } from "./config-components.ts";
import type { ConfigPath, ConfigReport } from "./config-report.ts";
import { checkConnectors } from "./config-connectors.ts";
import { checkBoxes, checkLoops } from "./config-loops.ts";
import { checkPositions } from "./config-positions.ts";
import { type ConfigShape, type PipelineShape, SECTION } from "./config-shape.ts";
import type { BatchKind, Signal } from "./consumer.ts";
import type {
  ComponentKind,
  ComponentSpec,
  ConnectorSpec,
  ProcessorSpec,
  ReceiverSpec,
} from "./spec.ts";

interface Context {
  readonly shape: ConfigShape;
  readonly components: CheckedComponents;
  readonly report: ConfigReport;
}

/** Checks how components are put together. Undefined when that makes no service. */
export function checkPipelines(
  shape: ConfigShape,
  components: CheckedComponents,
  report: ConfigReport,
): Config | undefined {
  const context: Context = { shape, components, report };
  if (shape.pipelines.length === 0) {
    report.consequence(
      ["service", "pipelines"],
      "there is no pipeline",
      "add one, for example `traces`",
    );
    return undefined;
  }
  const pipelines = shape.pipelines.map((pipeline) => checkPipeline(pipeline, context));
  for (const [index, id] of shape.extensions.entries()) {
    find("extension", id, ["service", "extensions", index], context);
  }
  checkLetterBox(shape, "deadLetter", context);
  checkLetterBox(shape, "quarantine", context);
  checkReceiptBox(shape, context);
  checkConnectors(pipelines, components, report);
  checkLoops(pipelines, components, report);
  const { deadLetter, quarantine, receipts } = shape;
  const boxes = [
    ["dead_letter", deadLetter],
    ["quarantine", quarantine],
    ["receipts", receipts],
  ] as const;
  checkBoxes(boxes, pipelines, { components, report });
  checkPositions(pipelines, components, report);
  const used = usedIds(shape, components);
  // A name that is wrong leaves another one unused: that is one thing to mend.
  if (!report.hasProblems()) warnUnused(used, context);
  return pick(shape, pipelines, { components, used });
}

function find(
  kind: ComponentKind,
  id: string,
  path: ConfigPath,
  context: Context,
): Configured<ComponentSpec> | undefined {
  const ends = kind === "receiver" || kind === "exporter";
  const here: readonly ComponentKind[] = ends ? [kind, "connector"] : [kind];
  for (const one of here) {
    const found = context.components.of[one].get(id);
    if (found !== undefined) return found;
    // It is there, and what is wrong with it has been said.
    if (context.shape.sections[one].has(id)) return undefined;
  }
  context.report.problem(path, `no ${kind} is called ${id}`, missingFix(id, here, context));
  return undefined;
}

function missingFix(
  id: string,
  kinds: readonly ComponentKind[],
  { shape, components }: Context,
): string {
  const [kind = "receiver"] = kinds;
  const other = (Object.keys(SECTION) as ComponentKind[]).find((one) =>
    shape.sections[one].has(id),
  );
  if (other !== undefined) {
    return `it is configured under \`${SECTION[other]}\`: name it there, or add one under \`${SECTION[kind]}\``;
  }
  const add = `add it under \`${SECTION[kind]}\``;
  const names = kinds.flatMap((one) => [...components.of[one].keys()]);
  const near = nearestName(id, names);
  if (near !== undefined) return `did you mean ${near}? Else ${add}`;
  return names.length === 0 ? add : `${add}, or use one of: ${names.join(", ")}`;
}

function checkPipeline(shape: PipelineShape, context: Context): ConfiguredPipeline {
  const signal = parseComponentId(shape.id)?.type as Signal;
  const path = ["service", "pipelines", shape.id];
  const kinds = receiversGive(shape, signal, path, context);
  const last = checkSteps(shape, kinds, path, context);
  checkExporters(shape, { signal, last, path }, context);
  if (kinds.pulls === "mixed") {
    context.report.problem(
      [...path, "receivers"],
      "a receiver that keeps its place in a log cannot share a pipeline with one that does not",
      "make two pipelines",
    );
  }
  return { ...shape, signal };
}

interface Given {
  readonly kinds: ReadonlySet<BatchKind>;
  readonly pulls: "all" | "none" | "mixed";
}

function receiversGive(
  shape: PipelineShape,
  signal: Signal,
  path: ConfigPath,
  context: Context,
): Given {
  const kinds = new Set<BatchKind>();
  const pulls = new Set<boolean>();
  if (shape.receivers.length === 0) {
    context.report.consequence([...path, "receivers"], "there is no receiver", "add at least one");
  }
  for (const [index, id] of shape.receivers.entries()) {
    const at = [...path, "receivers", index];
    const spec = find("receiver", id, at, context)?.spec;
    if (spec?.kind !== "receiver" && spec?.kind !== "connector") continue;
    const kind = givenTo(spec, signal);
    pulls.add(readsFromLog(spec));
    if (kind === undefined) wrongSignal(spec, signal, at, context);
    else kinds.add(kind);
  }
  return { kinds, pulls: pulls.size > 1 ? "mixed" : pulls.has(true) ? "all" : "none" };
}

function givenTo(spec: ReceiverSpec | ConnectorSpec, signal: Signal): BatchKind | undefined {
  if (spec.kind === "receiver") return spec.gives[signal];
  return spec.to === signal ? spec.gives : undefined;
}

function wrongSignal(
  spec: ComponentSpec,
  signal: Signal,
  at: ConfigPath,
  { report }: Context,
): void {
  report.problem(
    at,
    `${spec.kind} ${spec.type} does not do ${signal}`,
    `it belongs into pipelines of: ${spec.signals.join(", ")}`,
  );
}

/** What it takes, and beside it what it lets pass. */
function mayTake(kinds: ReadonlySet<BatchKind>, { takes, passes }: ProcessorSpec): boolean {
  if (kinds.size === 0) return true;
  return kinds.has(takes) && [...kinds].every((kind) => kind === takes || kind === passes);
}

/** Follows the batches from step to step; what the last one gives goes to the exporters. */
function checkSteps(
  shape: PipelineShape,
  given: Given,
  path: ConfigPath,
  context: Context,
): ReadonlySet<BatchKind> {
  let kinds = given.kinds;
  const signal = parseComponentId(shape.id)?.type as Signal;
  for (const [index, id] of shape.processors.entries()) {
    const at = [...path, "processors", index];
    const spec = find("processor", id, at, context)?.spec;
    if (spec?.kind !== "processor") continue;
    if (!spec.signals.includes(signal)) {
      wrongSignal(spec, signal, at, context);
      continue;
    }
    if (!mayTake(kinds, spec)) {
      context.report.problem(
        at,
        `${id} takes ${NOUN[spec.takes]}, but gets ${[...kinds].map((kind) => NOUN[kind]).join(" and ")} here`,
        "change the order, or make two pipelines",
      );
    }
    kinds = new Set([spec.gives]);
  }
  return kinds;
}

const NOUN: Readonly<Record<BatchKind, string>> = {
  traces: "spans",
  logs: "unchecked log records",
  decisions: "sealed events",
};

function checkExporters(
  shape: PipelineShape,
  { signal, last, path }: { signal: Signal; last: ReadonlySet<BatchKind>; path: ConfigPath },
  context: Context,
): void {
  if (shape.exporters.length === 0) {
    context.report.consequence([...path, "exporters"], "there is no exporter", "add at least one");
  }
  if (last.has("logs")) {
    context.report.problem(
      [...path, "processors"],
      "log records reach the exporters unchecked",
      "add the processor `intake`",
    );
  }
  for (const [index, id] of shape.exporters.entries()) {
    const at = [...path, "exporters", index];
    const spec = find("exporter", id, at, context)?.spec;
    const fits = spec?.kind === "connector" ? spec.from === signal : spec?.signals.includes(signal);
    if (spec !== undefined && fits !== true) wrongSignal(spec, signal, at, context);
  }
}

function checkLetterBox(
  shape: ConfigShape,
  which: "deadLetter" | "quarantine",
  context: Context,
): void {
  const key = which === "deadLetter" ? "dead_letter" : "quarantine";
  const path = ["service", key];
  const id = shape[which];
  if (id === undefined) {
    if (!needsLetterBox(shape, which, context)) return;
    const why =
      which === "deadLetter" ? "events that can never be accepted" : "events that hold a secret";
    context.report.problem(
      path,
      `\`${key}\` is missing: ${why} need a place`,
      "name a `file` exporter",
    );
    return;
  }
  const spec = find("exporter", id, path, context)?.spec;
  if (spec?.kind === "exporter" && spec.keepsLetters !== true) {
    context.report.problem(path, `exporter ${id} cannot keep letters`, "name a `file` exporter");
  }
  if (shape.deadLetter === shape.quarantine && which === "quarantine") {
    context.report.problem(
      path,
      "quarantine and dead letters are the same exporter",
      "give quarantine its own, restricted directory",
    );
  }
}

function needsLetterBox(
  shape: ConfigShape,
  which: "deadLetter" | "quarantine",
  { components }: Context,
): boolean {
  const decisions = shape.pipelines.filter(({ id }) => parseComponentId(id)?.type === "decisions");
  if (which === "deadLetter") return decisions.length > 0;
  return decisions.some(({ processors }) =>
    processors.some((id) => components.of.processor.get(id)?.spec.takes === "logs"),
  );
}

function checkReceiptBox(shape: ConfigShape, context: Context): void {
  const id = shape.receipts;
  if (id === undefined) return;
  const path = ["service", "receipts"];
  const spec = find("exporter", id, path, context)?.spec;
  if (spec?.kind === "exporter" && spec.keepsReceipts !== true) {
    context.report.problem(
      path,
      `exporter ${id} cannot keep receipts`,
      "name a `kafka` or `file` exporter",
    );
  }
  const pulling = shape.pipelines.some(({ receivers }) =>
    receivers.some((receiver) => readsFromLog(context.components.of.receiver.get(receiver)?.spec)),
  );
  if (!pulling) {
    context.report.warning(
      path,
      "no pipeline reads from a log, so there will be no receipt",
      "remove it, or add a pipeline with a receiver that reads from a log",
    );
  }
}

function readsFromLog(spec: ComponentSpec | undefined): boolean {
  return spec?.kind === "receiver" && spec.pulls === true;
}

type Used = Readonly<Record<ComponentKind, ReadonlySet<string>>>;

function usedIds(shape: ConfigShape, components: CheckedComponents): Used {
  const used = {
    receiver: new Set(shape.pipelines.flatMap(({ receivers }) => receivers)),
    processor: new Set(shape.pipelines.flatMap(({ processors }) => processors)),
    exporter: new Set(shape.pipelines.flatMap(({ exporters }) => exporters)),
    connector: new Set(shape.pipelines.flatMap(({ exporters }) => exporters)),
    extension: new Set(shape.extensions),
    client: new Set<string>(),
  };
  for (const id of [shape.deadLetter, shape.quarantine, shape.receipts])
    if (id !== undefined) used.exporter.add(id);
  for (const { from, kind, id } of components.references) {
    if (used[from.kind].has(from.id)) used[kind].add(id);
  }
  return used;
}

const WHERE_USED: { readonly [Kind in ComponentKind]?: string } = {
  extension: "service.extensions",
  client: "a component that connects",
};

function warnUnused(used: Used, { components, report }: Context): void {
  for (const [kind, ids] of Object.entries(used) as [ComponentKind, ReadonlySet<string>][]) {
    for (const id of components.of[kind].keys()) {
      if (ids.has(id)) continue;
      const where = WHERE_USED[kind] ?? "a pipeline";
      report.warning(
        [SECTION[kind], id],
        `${kind} ${id} is not used`,
        `name it in ${where}, or remove it`,
      );
    }
  }
}

function pick(
  shape: ConfigShape,
  pipelines: readonly ConfiguredPipeline[],
  { components, used }: { components: CheckedComponents; used: Used },
): Config {
  return {
    receivers: only(components.of.receiver, used.receiver),
    processors: only(components.of.processor, used.processor),
    exporters: only(components.of.exporter, used.exporter),
    connectors: only(components.of.connector, used.connector),
    extensions: only(components.of.extension, used.extension),
    clients: only(components.of.client, used.client),
    pipelines,
    drainTimeoutMs: shape.drainTimeoutMs,
    ...(shape.deadLetter === undefined ? {} : { deadLetter: shape.deadLetter }),
    ...(shape.quarantine === undefined ? {} : { quarantine: shape.quarantine }),
    ...(shape.receipts === undefined ? {} : { receipts: shape.receipts }),
  };
}

function only<Item>(
  all: ReadonlyMap<string, Item>,
  ids: ReadonlySet<string>,
): ReadonlyMap<string, Item> {
  return new Map([...all].filter(([id]) => ids.has(id)));
}
