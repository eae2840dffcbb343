// The whole line in one process: OTLP, intake, the archive as the log, and every exporter with every format before receivers on loopback.
// Everything that comes out, and everything that the service says of itself, is kept as text.
import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { LogFields, Logger } from "@countersign/model";
import type { Receipt, Trace } from "@countersign/pipeline";
import { onTestFinished } from "vitest";
import { loadConfig } from "../configuration.ts";
import { FORMAT_NAMES, FORMATS } from "../formats/formats.ts";
import { createService, type Service } from "../service.ts";
import { scratch } from "./exporters.ts";
import { fakeElasticsearch, STREAM } from "./fake-elasticsearch.ts";
import { fakeHec } from "./fake-hec.ts";
import { strictReceiver } from "./syslog-receiver.ts";

/** A running line. */
export interface LeakScene {
  readonly service: Service;
  readonly url: string;
  /** Exporters behind the log. */
  readonly sinks: readonly string[];
  /** Names of what came out since the last call, and the text of it; `quarantine` is the one that may hold secrets. */
  collect(): Promise<ReadonlyMap<string, string>>;
  /** Events that each sink has a receipt for. */
  receipted(): ReadonlyMap<string, number>;
}

/** Text that grew; what was read is not read again. */
type Source = () => string;

/** Starts it; the test's end stops it. `settings` follow the exporters that they belong to. */
export async function leakScene(): Promise<LeakScene> {
  const directory = scratch();
  const sources = new Map<string, Source>();
  const exporters: string[] = [];
  const lines: string[] = [];
  const add = (id: string, settings: string, source: Source): void => {
    exporters.push(id);
    lines.push(`  ${id}: { ${settings} }`);
    sources.set(id, source);
  };
  for (const format of FORMAT_NAMES) {
    const folder = join(directory, `out-${format}`);
    add(`file/${format}`, `directory: ${folder}, format: ${format}`, growing(folder));
    await overHttp(format, add);
    const receiver = await strictReceiver();
    onTestFinished(() => receiver.close());
    const syslog = `endpoint: "127.0.0.1:${receiver.port}", transport: tcp, max_message: 64KiB`;
    add(`syslog/${format}`, `${syslog}, format: ${format}`, drained(receiver.messages));
  }
  add("debug", "", () => "");
  for (const name of ["dead_letter", "quarantine", "receipts"])
    sources.set(name, growing(join(directory, name)));
  sources.set("archive", growing(join(directory, "archive")));
  const said: string[] = [];
  const spans: string[] = [];
  const { config } = loadConfig(configOf(directory, lines, exporters), "leaks.yaml", {});
  const logger = (component: string): Logger => logInto(said, component);
  const service = createService(config, { logger, trace: traceInto(spans) });
  await service.start();
  onTestFinished(() => service.stop(AbortSignal.timeout(10_000)));
  sources.set("log", drained(said));
  sources.set("traces", drained(spans));
  return {
    service,
    url: `${service.endpoints["otlp"]}/v1/logs`,
    sinks: exporters,
    collect: async () => {
      const texts = new Map([...sources].map(([name, source]) => [name, source()]));
      for (const [name, path] of [
        ["health_check", "/ready"],
        ["metrics", "/metrics"],
      ] as const)
        texts.set(name, await (await fetch(`${service.endpoints[name]}${path}`)).text());
      return texts;
    },
    receipted: receiptsBySink(growing(join(directory, "receipts"))),
  };
}

async function overHttp(
  format: (typeof FORMAT_NAMES)[number],
  add: (id: string, settings: string, source: Source) => void,
): Promise<void> {
  const hec = await fakeHec();
  onTestFinished(() => hec.close());
  add(
    `splunk_hec/${format}`,
    `endpoint: "${hec.url}", token: "${hec.token}", format: ${format}`,
    drained(hec.stored),
  );
  const hook = await recorder((response) => response.writeHead(204).end());
  const key = `{ id: k1, secret: "${"k".repeat(40)}" }`;
  add(
    `webhook/${format}`,
    `endpoint: "${hook.url}", keys: [${key}], format: ${format}`,
    drained(hook.requests),
  );
  if (FORMATS[format].shape !== "json") return;
  const elastic = await fakeElasticsearch();
  add(
    `elasticsearch/${format}`,
    `endpoint: "${elastic.url}", data_stream: ${STREAM}, format: ${format}`,
    () => {
      const texts = elastic.indices.map((index) => JSON.stringify([...index]));
      for (const index of elastic.indices as readonly Map<string, unknown>[]) index.clear();
      return texts.join("\n");
    },
  );
}

function configOf(
  directory: string,
  lines: readonly string[],
  exporters: readonly string[],
): string {
  const kept = (name: string): string =>
    `  file/${name}: { directory: ${join(directory, name)}, format: native }`;
  return `
extensions: { health_check: { endpoint: "127.0.0.1:0" }, metrics: { endpoint: "127.0.0.1:0" } }
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } }
  archive: { from: archive, cursors: ${join(directory, "cursors")} }
processors: { intake: { tenants: [acme] } }
exporters:
  archive: { directory: ${join(directory, "archive")}, origin: leaks.example/test }
${[...lines, kept("dead_letter"), kept("quarantine"), kept("receipts")].join("\n")}
service:
  extensions: [health_check, metrics]
  dead_letter: file/dead_letter
  quarantine: file/quarantine
  receipts: file/receipts
  pipelines:
    decisions: { receivers: [otlp], processors: [intake], exporters: [archive] }
    decisions/siem: { receivers: [archive], exporters: [${exporters.join(", ")}] }
`;
}

/** An HTTP server that keeps what came: headers and body. */
export async function recorder(
  answer: (response: ServerResponse, request: IncomingMessage, body: Buffer) => void,
): Promise<{ readonly url: string; readonly requests: string[] }> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const sent = Buffer.concat(chunks);
      const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
      requests.push(`${request.url} ${JSON.stringify(request.headers)}\n${body.toString("utf8")}`);
      answer(response, request, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  );
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}`, requests };
}

function drained(items: unknown[]): Source {
  return () =>
    items
      .splice(0)
      .map((one) => (typeof one === "string" ? one : JSON.stringify(one)))
      .join("\n");
}

/** What files of a directory grew by, without what was read before. Base64 of lines that are no text is decoded. */
function growing(directory: string): Source {
  const read = new Map<string, number>();
  return () =>
    filesIn(directory)
      .map((path) => {
        const bytes = bytesFrom(path, read.get(path) ?? 0);
        read.set(path, (read.get(path) ?? 0) + bytes.length);
        return bytes
          .toString("utf8")
          .replaceAll(/"valueBase64":"([^"]+)"/g, (_, base64: string) =>
            Buffer.from(base64, "base64").toString("latin1"),
          );
      })
      .join("\n");
}

function bytesFrom(path: string, from: number): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(file).size - from));
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, from));
  } finally {
    closeSync(file);
  }
}

function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
}

/** Events by sink, so far. */
function receiptsBySink(source: Source): () => ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  return () => {
    for (const line of source().split("\n")) {
      if (line === "") continue;
      const { sink, events } = JSON.parse(line) as Receipt;
      counts.set(sink, (counts.get(sink) ?? 0) + events);
    }
    return counts;
  };
}

/** Keeps every line, the quiet ones too. */
export function logInto(said: string[], component: string): Logger {
  const say =
    (level: string) =>
    (message: string, fields: LogFields = {}): void =>
      void said.push(`${level} ${component}: ${message} ${JSON.stringify(fields)}`);
  return { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
}

/** Keeps the service's own spans. */
export function traceInto(spans: string[]): Trace {
  return async (work, run) => {
    spans.push(JSON.stringify(work));
    return await run((attributes) => void spans.push(JSON.stringify(attributes)));
  };
}
