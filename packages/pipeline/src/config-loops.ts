// What goes round in a circle would never end, or is never built.
import type { ConfiguredPipeline } from "./config.ts";
import type { CheckedComponents } from "./config-components.ts";
import type { ConfigReport } from "./config-report.ts";

/** From where data goes on behind the end of a pipeline: names of further ends. */
type Behind = (end: string) => readonly string[];

/**
 * A pipeline may not write into what one of its receivers reads, directly or by way of other pipelines, unless a connector
 * on the way ends the loop; and what goes into a connector may not come back to it from pipeline to pipeline.
 */
export function checkLoops(
  pipelines: readonly ConfiguredPipeline[],
  components: CheckedComponents,
  report: ConfigReport,
): void {
  const feeds = (receiver: string): readonly string[] =>
    components.references
      .filter(
        ({ from, feeds: data }) =>
          data === true && from.kind === "receiver" && from.id === receiver,
      )
      .map(({ id }) => id);
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
    for (const source of receivers.flatMap(feeds)) {
      if (!reaches(source, exporters, behind)) continue;
      const message = `a loop: what this pipeline reads from ${source} comes back to it`;
      report.problem(path, message, "send it to another exporter");
    }
    for (const source of receivers.filter((one) => connectors.has(one))) {
      if (!reaches(source, exporters, begun)) continue;
      const message = `a loop: what this pipeline gets from ${source} goes back into it`;
      report.problem(path, message, "send it to an exporter");
    }
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
