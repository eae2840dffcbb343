// What goes round in a circle would never end, or is never built.
import type { Configured, ConfiguredPipeline } from "./configured.ts";
import type { CheckedComponents } from "./config-components.ts";
import type { ConfigReport } from "./config-report.ts";
import type { ExporterSpec, ReceiverSpec } from "./spec.ts";

/** From where data goes on behind the end of a pipeline: names of further ends. */
type Behind = (end: string) => readonly string[];

/** The exporters whose data a receiver gets back: one that it names, or one that writes to what it reads. */
type Feeds = (receiver: string) => readonly string[];

/**
 * A pipeline may not write into what one of its receivers reads, directly or by way of other pipelines, unless a connector
 * on the way ends the loop; and what goes into a connector may not come back to it from pipeline to pipeline.
 */
export function checkLoops(
  pipelines: readonly ConfiguredPipeline[],
  components: CheckedComponents,
  report: ConfigReport,
): void {
  const feeds = feedsOf(components);
  const connectors = components.of.connector;
  const begun: Behind = (connector) =>
    connectors.has(connector)
      ? pipelines
          .filter(({ receivers }) => receivers.includes(connector))
          .flatMap(({ exporters }) => exporters)
      : [];
  const behind: Behind = (end) => {
    if (connectors.has(end)) return connectors.get(end)?.spec.endsLoops === true ? [] : begun(end);
    return pipelines
      .filter(({ receivers }) => receivers.some((id) => feeds(id).includes(end)))
      .flatMap(({ exporters }) => exporters);
  };
  for (const { id, receivers, exporters } of pipelines) {
    const path = ["service", "pipelines", id, "exporters"];
    for (const source of new Set(receivers.flatMap(feeds))) {
      if (!reaches(source, exporters, behind)) continue;
      const message = `a loop: what this pipeline reads from ${source} comes back to it`;
      const isStream = components.of.exporter.get(source)?.spec.streams !== undefined;
      report.problem(path, message, `send it to another ${isStream ? "topic" : "exporter"}`);
    }
    for (const source of receivers.filter((one) => connectors.has(one))) {
      if (!reaches(source, exporters, begun)) continue;
      const message = `a loop: what this pipeline gets from ${source} goes back into it`;
      report.problem(path, message, "send it to an exporter");
    }
  }
}

function feedsOf(components: CheckedComponents): Feeds {
  const exporters = [...components.of.exporter.values()];
  return (receiver) => {
    const named = components.references
      .filter(
        ({ from, feeds }) => feeds === true && from.kind === "receiver" && from.id === receiver,
      )
      .map(({ id }) => id);
    const read = new Set(streamsOf(components.of.receiver.get(receiver), components));
    const writers = exporters
      .filter((exporter) => streamsOf(exporter, components).some((stream) => read.has(stream)))
      .map(({ id }) => id);
    return [...named, ...writers];
  };
}

/** Letters and receipts are no events: where events are read, each would become another letter, and so on without end. */
export function checkBoxes(
  boxes: readonly (readonly [name: string, exporter: string | undefined])[],
  pipelines: readonly ConfiguredPipeline[],
  { components, report }: { readonly components: CheckedComponents; readonly report: ConfigReport },
): void {
  const feeds = feedsOf(components);
  for (const [name, exporter] of boxes) {
    if (exporter === undefined) continue;
    const readers = pipelines.flatMap(({ receivers }) => receivers);
    const reader = readers.find((receiver) => feeds(receiver).includes(exporter));
    if (reader === undefined) continue;
    const message = `a loop: ${exporter} writes to what receiver ${reader} reads`;
    report.problem(["service", name], message, "give it a place of its own, for example a topic");
  }
}

/** Settings with problems may lack what `streams` looks at. */
function streamsOf(
  component: Configured<ReceiverSpec | ExporterSpec> | undefined,
  { of }: CheckedComponents,
): readonly string[] {
  try {
    const { spec, config } = component ?? {};
    return spec?.streams?.(config as never, (id) => of.client.get(id)?.config) ?? [];
  } catch {
    return [];
  }
}

function reaches(goal: string, from: readonly string[], behind: Behind): boolean {
  const seen = new Set<string>();
  const open = [...from];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (id === goal) return true;
    if (seen.has(id)) continue;
    seen.add(id);
    open.push(...behind(id));
  }
  return false;
}
