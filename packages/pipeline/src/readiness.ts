import type { Config, ConfiguredPipeline } from "./configured.ts";

/**
 * The receivers and exporters that no sender is refused for, as keys of `ServiceHealth.components`: a receiver that keeps its place in a
 * log, an exporter that only such receivers feed, and one that only pipelines with `on_full: drop` end in. What is for them waits in
 * the log, or may be dropped. Exporters of letters are on the way in as soon as a sender's events are.
 */
export function besideTheWayIn(config: Config): ReadonlySet<string> {
  const onTheWay = pipelinesFromSenders(config);
  const reached = new Set(onTheWay.flatMap(({ exporters }) => exporters));
  if (onTheWay.some(({ signal }) => signal === "decisions")) {
    for (const id of [config.deadLetter, config.quarantine]) if (id !== undefined) reached.add(id);
  }
  const beside = new Set<string>();
  for (const id of config.exporters.keys()) if (!reached.has(id)) beside.add(`exporter ${id}`);
  for (const [id, { spec }] of config.receivers) {
    if (spec.pulls === true) beside.add(`receiver ${id}`);
  }
  return beside;
}

/** Pipelines that refuse a sender when they cannot go on: fed by a receiver that listens, or by a connector that such a pipeline ends in. */
function pipelinesFromSenders({
  receivers,
  connectors,
  pipelines,
}: Config): readonly ConfiguredPipeline[] {
  const listens = new Set(
    [...receivers].flatMap(([id, { spec }]) => (spec.pulls === true ? [] : [id])),
  );
  const found = new Set<ConfiguredPipeline>();
  for (let before = -1; before < found.size;) {
    before = found.size;
    for (const pipeline of pipelines) {
      if (pipeline.onFull === "drop" || !pipeline.receivers.some((id) => listens.has(id))) continue;
      found.add(pipeline);
      // An exporter may have the id of a receiver; a connector has it of nobody.
      for (const id of pipeline.exporters) if (connectors.has(id)) listens.add(id);
    }
  }
  return [...found];
}
