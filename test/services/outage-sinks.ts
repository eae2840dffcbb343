// Sinks that others wrote, each behind one interface for the outage test.
import { hash as digest } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findService } from "./find.ts";
import { startOpenSearch } from "./opensearch-node.ts";
import { hecCollector } from "./otelcol-hec.ts";
import { rsyslog } from "./syslog-receivers.ts";

/** A real sink that runs. */
export interface OutageSink {
  /** Where it listens. */
  readonly port: number;
  /** PEM of the authority of its certificate; absent: it is asked in the clear. */
  readonly ca?: string;
  /** Whether a front may stand before it. Where none does, the sink itself goes down, and nobody answers in its place. */
  readonly speaksHttp: boolean;
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
    speaksHttp: true,
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

const TOKEN = "00000000-0000-0000-0000-0000000000aa";

/** The Collector's HEC receiver, over TLS, with acknowledgements. It keeps whatever comes. */
export function hecSink(): OutageSinkKind {
  const found = findService("otelcol");
  const program = found?.kind === "binary" ? found.path : undefined;
  return {
    name: "the Collector's HEC receiver",
    deduplicates: false,
    start: program === undefined ? undefined : () => hec(program),
  };
}

async function hec(program: string): Promise<OutageSink> {
  const collector = await hecCollector(program, TOKEN);
  await collector.start();
  return {
    port: Number(new URL(collector.url).port),
    ca: collector.ca,
    speaksHttp: true,
    exporter: "splunk_hec/soc",
    settings: (endpoint) =>
      `{ endpoint: "${endpoint}", token: "${TOKEN}", index: mcp_audit, acknowledge: true, acknowledge_timeout: 10s }`,
    held: () => Promise.resolve(counted(collector.arrived().map((one) => one.hash))),
    down: () => collector.stop(),
    up: () => collector.start(),
    dispose: () => collector.dispose(),
  };
}

/** rsyslog over TCP, its queue direct: what it has read is in its file. It keeps whatever comes. */
export function rsyslogSink(): OutageSinkKind {
  const found = findService("rsyslog");
  const program = found?.kind === "binary" ? found.path : undefined;
  return {
    name: "rsyslog",
    deduplicates: false,
    start: program === undefined ? undefined : () => syslog(program),
  };
}

async function syslog(program: string): Promise<OutageSink> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-rsyslog-"));
  const path = 'queue.type="Direct"';
  const receiver = await rsyslog({ program, directory, path, maxMessageBytes: 65_536 });
  await receiver.start();
  return {
    port: receiver.port,
    speaksHttp: false,
    exporter: "syslog/siem",
    settings: (endpoint) =>
      `{ endpoint: "${endpoint}", transport: tcp, format: native, max_message: 60KiB }`,
    // The message is the sealed bytes, behind a byte order mark if there is one.
    held: () =>
      Promise.resolve(
        counted(
          receiver.messages().map(({ msg }) => digest("sha256", msg.replace(/^ ?\uFEFF?/, ""))),
        ),
      ),
    down: () => receiver.end("SIGTERM"),
    up: () => receiver.start(),
    dispose: async () => {
      await receiver.end("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function counted(hashes: readonly string[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const one of hashes) found.set(one, (found.get(one) ?? 0) + 1);
  return found;
}
