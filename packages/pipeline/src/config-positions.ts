// A position in a log belongs to one pipeline: what shares it gets a part of the events, or waits for others.
import type { ConfiguredPipeline } from "./configured.ts";
import type { CheckedComponents } from "./config-components.ts";
import type { ConfigReport } from "./config-report.ts";

/** Checks that receivers in use keep positions of their own, and that no two pipelines or exporters share one. */
export function checkPositions(
  pipelines: readonly ConfiguredPipeline[],
  components: CheckedComponents,
  report: ConfigReport,
): void {
  const owners = new Map<string, string>();
  for (const [id, { spec, config }] of components.of.receiver) {
    const position = spec.position?.(config as never);
    if (position === undefined) continue;
    const using = pipelines.filter(({ receivers }) => receivers.includes(id));
    if (using.length === 0) continue;
    const owner = owners.get(position);
    owners.set(position, owner ?? id);
    if (owner !== undefined) {
      report.keyProblem(
        ["receivers", id],
        `it keeps its place where receiver ${owner} does, so each would get only a part of the events`,
        "give it a `group` of its own",
      );
    }
    for (const { id: pipeline } of using.slice(1)) {
      report.warning(
        ["service", "pipelines", pipeline, "receivers"],
        `it shares receiver ${id} with pipeline ${using[0]?.id}: what one of them does not take, the other waits for`,
        "give each sink a receiver with a `group` of its own",
      );
    }
  }
  for (const pipeline of pipelines) checkSinks(pipeline, components, report);
}

function checkSinks(
  { id, receivers, exporters }: ConfiguredPipeline,
  { of }: CheckedComponents,
  report: ConfigReport,
): void {
  const sinks = exporters.filter((name) => of.exporter.has(name));
  if (sinks.length < 2 || !receivers.some((name) => of.receiver.get(name)?.spec.pulls)) return;
  report.warning(
    ["service", "pipelines", id, "exporters"],
    `${sinks.join(", ")} share a place in the log: what one of them does not take, the others wait for`,
    "give each a pipeline of its own, with a place of its own",
  );
}
