import { CountersignError } from "@countersign/model";
import type {
  Config,
  Configured,
  ConfiguredPipeline,
  ExporterSpec,
  ReceiverSpec,
} from "@countersign/pipeline";

/** How events get from a log to an exporter. */
export interface Route {
  readonly pipeline: ConfiguredPipeline;
  readonly receiver: Configured<ReceiverSpec>;
  readonly exporter: Configured<ExporterSpec>;
}

/** Every way of a configuration from a log to an exporter, in its order. */
export function routesOf(config: Config): readonly Route[] {
  return config.pipelines
    .filter(({ signal }) => signal === "decisions")
    .flatMap((pipeline) =>
      pipeline.receivers.flatMap((id) => {
        const receiver = config.receivers.get(id);
        if (receiver?.spec.pulls !== true) return [];
        return pipeline.exporters.flatMap((sink) => {
          const exporter = config.exporters.get(sink);
          return exporter === undefined ? [] : [{ pipeline, receiver, exporter }];
        });
      }),
    );
}

/** The one way to an exporter. Throws CONFIG_INVALID when there is none, or several and `pipeline` does not say which. */
export function routeTo(config: Config, exporterId: string, pipeline?: string): Route {
  const all = routesOf(config);
  const found = all.filter(
    (route) =>
      route.exporter.id === exporterId && (pipeline ?? route.pipeline.id) === route.pipeline.id,
  );
  const [only, other] = found;
  if (only === undefined) {
    const known = [...new Set(all.map(({ exporter }) => exporter.id))].join(", ");
    throw new CountersignError(
      "CONFIG_INVALID",
      `config: no pipeline${pipeline === undefined ? "" : ` ${pipeline}`} leads from a log to exporter ${exporterId}; ${known === "" ? "none reads from a log" : `those that do: ${known}`}`,
    );
  }
  if (other !== undefined) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `config: several pipelines lead to exporter ${exporterId}; name one: ${found.map((route) => route.pipeline.id).join(", ")}`,
    );
  }
  return only;
}
