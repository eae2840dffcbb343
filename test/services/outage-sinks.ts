// Sinks that others wrote, each behind one interface for the outage test.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findService } from "./find.ts";
import { startOpenSearch } from "./opensearch-node.ts";

/** A real sink that runs. */
export interface OutageSink {
  /** Where it listens. */
  readonly port: number;
  /** Its exporter, as a configuration names it, and its settings, which get the address of what stands before it. */
  readonly exporter: string;
  settings(endpoint: string): string;
  /** How often it has each event, by hash. */
  held(): Promise<ReadonlyMap<string, number>>;
  /** Ends its process; what it stored stays. */
  down(): Promise<void>;
  up(): Promise<void>;
  dispose(): Promise<void>;
}

/** A sink that can be started, if what it needs is here. */
export interface OutageSinkKind {
  readonly name: string;
  /** Keeps one of each event, so that none is there twice. */
  readonly deduplicates: boolean;
  readonly start: (() => Promise<OutageSink>) | undefined;
}

const STREAM = "logs-countersign.decisions-outage";
const SHIPPED = join(import.meta.dirname, "..", "..", "deploy", "elastic");

/** OpenSearch with the template that is shipped. */
export function openSearchSink(): OutageSinkKind {
  const found = findService("opensearch");
  const program = found?.kind === "binary" ? found.path : undefined;
  return {
    name: "OpenSearch",
    deduplicates: true,
    start: program === undefined ? undefined : () => openSearch(program),
  };
}

function shipped(name: string): object {
  return JSON.parse(readFileSync(join(SHIPPED, name), "utf8")) as object;
}

async function openSearch(program: string): Promise<OutageSink> {
  const engine = await startOpenSearch(program);
  for (const [path, body] of [
    ["/_component_template/countersign-mappings", shipped("mappings.json")],
    ["/_index_template/countersign", shipped("opensearch-index-template.json")],
    [`/_data_stream/${STREAM}`, undefined],
  ] as const) {
    const answer = await engine.ask("PUT", path, body);
    if (answer.status === 200) continue;
    await engine.dispose();
    throw new Error(`opensearch: ${path}: ${JSON.stringify(answer)}`);
  }
  return {
    port: engine.port,
    exporter: "elasticsearch/main",
    settings: (endpoint) => `{ endpoint: ${endpoint}, data_stream: ${STREAM}, timeout: 10s }`,
    held: async () => {
      await engine.ask("POST", `/${STREAM}/_refresh`);
      const found = new Map<string, number>();
      for (let after: unknown; ;) {
        const { body } = await engine.ask("POST", `/${STREAM}/_search`, {
          size: 5000,
          _source: false,
          fields: ["event.hash"],
          sort: [{ "event.hash": "asc" }],
          ...(after === undefined ? {} : { search_after: [after] }),
        });
        const { hits } = (body as Found).hits;
        for (const { fields } of hits) {
          const [hash = ""] = fields["event.hash"] ?? [];
          found.set(hash, (found.get(hash) ?? 0) + 1);
        }
        after = hits.at(-1)?.sort[0];
        if (after === undefined) return found;
      }
    },
    down: () => engine.kill(),
    up: () => engine.start(),
    dispose: () => engine.dispose(),
  };
}

interface Found {
  readonly hits: {
    readonly hits: readonly {
      readonly fields: Readonly<Record<string, readonly string[]>>;
      readonly sort: readonly unknown[];
    }[];
  };
}
