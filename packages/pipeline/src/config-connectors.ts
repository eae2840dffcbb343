// A connector stands at the end of some pipelines and at the beginning of others.
import type { ConfiguredPipeline } from "./configured.ts";
import type { CheckedComponents } from "./config-components.ts";
import type { ConfigReport } from "./config-report.ts";
import type { ConnectorSpec } from "./spec.ts";

/** Checks that every connector has both ends, and a name of its own. */
export function checkConnectors(
  pipelines: readonly ConfiguredPipeline[],
  components: CheckedComponents,
  report: ConfigReport,
): void {
  for (const [id, { spec }] of components.of.connector) {
    const path = ["connectors", id];
    if (components.of.receiver.has(id) || components.of.exporter.has(id)) {
      const fix = "pipelines name them alike: give it another name, `type/name`";
      report.keyProblem(path, `${id} is also a receiver or an exporter`, fix);
    }
    const ending = pipelines.filter(({ exporters }) => exporters.includes(id));
    const begun = pipelines.some(({ receivers }) => receivers.includes(id));
    if (ending.length > 0 && !begun) {
      const fix = `list it under \`receivers\` of a ${spec.to} pipeline`;
      report.keyProblem(path, `nothing takes what connector ${id} makes`, fix);
    } else if (ending.length === 0 && begun) {
      const fix = `list it under \`exporters\` of a ${spec.from} pipeline`;
      report.keyProblem(path, `nothing goes into connector ${id}`, fix);
    }
    if (spec.readsLog === true) checkLogEnd(id, spec, { ending, components, report });
  }
}

function checkLogEnd(
  id: string,
  spec: ConnectorSpec,
  of: {
    ending: readonly ConfiguredPipeline[];
    components: CheckedComponents;
    report: ConfigReport;
  },
): void {
  for (const { id: pipeline, receivers, processors, exporters } of of.ending) {
    const path = ["service", "pipelines", pipeline];
    const pulls = receivers.map((one) => of.components.of.receiver.get(one)?.spec);
    if (pulls.some((receiver) => receiver !== undefined && receiver.pulls !== true)) {
      const message = `connector ${spec.type} makes its state of a log, and this is none`;
      of.report.problem(
        [...path, "receivers"],
        message,
        "read from an `archive` or `kafka` receiver",
      );
    }
    if (processors.length > 0) {
      const message = `connector ${id} has to see the log as it is`;
      of.report.problem([...path, "processors"], message, "remove the processors");
    }
    if (exporters.length > 1) {
      const message = `connector ${id} may read parts of the log again, so it ends a pipeline alone`;
      of.report.problem([...path, "exporters"], message, "make a pipeline of its own for it");
    }
  }
}
