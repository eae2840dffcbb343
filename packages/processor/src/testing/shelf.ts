// A sink for tests of replay, dlq and reconcile: it lies in memory, can be asked, and does what the test wants of it.
import { CountersignError, type SealedEvent } from "@countersign/model";
import {
  type Component,
  type Config,
  ConfigError,
  type Decisions,
  type ExporterSpec,
  type Queryable,
  readConfig,
} from "@countersign/pipeline";
import { COMPONENTS } from "../components.ts";

/** What is in the sink, and how it behaves. */
export interface Shelf {
  /** Ids in the order in which they came; twice when they came twice. */
  readonly ids: string[];
  /** Ids by time. */
  readonly times: Map<string, number>;
  /** Called with each batch before it is taken; may throw. */
  before: (batch: Decisions) => void | Promise<void>;
  /** Why an event is refused for good. */
  refuse: (event: SealedEvent) => string | undefined;
  readonly spec: ExporterSpec;
}

/** Makes one; `asked: false` is a sink that can not tell what it has. */
export function createShelf(type = "shelf", asked = true): Shelf {
  const ids: string[] = [];
  const times = new Map<string, number>();
  const shelf: Shelf = {
    ids,
    times,
    before: () => undefined,
    refuse: () => undefined,
    spec: {
      kind: "exporter",
      type,
      stability: "experimental",
      summary: "Keeps events in memory.",
      signals: ["decisions"],
      takes: ["decisions"],
      config: { type: "object", additionalProperties: false, properties: {} },
      create: () => ({ ...still, consume, ...(asked ? { missing, held } : {}) }),
    },
  };
  const consume = async ({ events, ...batch }: Decisions): Promise<void> => {
    await shelf.before({ events, ...batch });
    const failed: number[] = [];
    const reasons: string[] = [];
    for (const [index, event] of events.entries()) {
      const reason = shelf.refuse(event);
      if (reason === undefined) {
        ids.push(event.event.id);
        times.set(event.event.id, Date.parse(event.event.time));
      } else {
        failed.push(index);
        reasons.push(reason);
      }
    }
    if (failed.length > 0)
      throw new CountersignError("REJECTED", `${type}: ${failed.length} refused`, {
        failed,
        reasons,
      });
  };
  const missing = (events: readonly SealedEvent[]): Promise<readonly number[]> =>
    Promise.resolve([...events.keys()].filter((at) => !times.has(events[at]?.event.id ?? "")));
  const held: NonNullable<Queryable["held"]> = async function* ({ fromMs, untilMs }) {
    for (const id of ids) {
      const timeMs = times.get(id) ?? 0;
      if (timeMs >= fromMs && timeMs < untilMs) yield id;
    }
  };
  return shelf;
}

const still: Component = { start: () => Promise.resolve(), stop: () => Promise.resolve() };

/** A configuration with components of the test beside those of this build. */
export function configWith(text: string, ...shelves: readonly Shelf[]): Config {
  const components = [...COMPONENTS, ...shelves.map(({ spec }) => spec)];
  const { config, problems } = readConfig({ text, file: "test.yaml", components, env: {} });
  if (config === undefined) throw new ConfigError(problems);
  return config;
}
