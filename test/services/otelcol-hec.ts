// The OpenTelemetry Collector as a receiver of Splunk's HEC: others wrote it, and it writes what arrived into a file.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { certificate } from "../../packages/processor/src/testing/certificates.ts";
import { freePort } from "../free-port.ts";
import { until } from "./kafka-parts.ts";

/** A record as the Collector understood it. */
export interface HecArrival {
  readonly uid: string;
  readonly hash: string;
  /** Since 1970. The Collector reads the seconds as a floating-point number. */
  readonly timeMs: number;
  readonly host: string;
  readonly sourcetype: string;
  readonly index: string;
  /** What `event` held: text where it was a JSON string, else undefined. */
  readonly text: string | undefined;
}

/** The Collector, on the same port in each of its lives. */
export interface HecCollector {
  /** `https://localhost:…` */
  readonly url: string;
  /** PEM of the authority of its certificate. */
  readonly ca: string;
  start(): Promise<void>;
  /** SIGTERM, so that its file is written. */
  stop(): Promise<void>;
  /** From now on it takes another token; read without a restart. */
  accept(token: string): void;
  arrived(): HecArrival[];
  dispose(): Promise<void>;
}

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string };
}
interface Line {
  readonly resourceLogs: readonly {
    readonly resource: { readonly attributes?: readonly Attribute[] };
    readonly scopeLogs: readonly {
      readonly logRecords: readonly {
        readonly timeUnixNano?: string;
        readonly body: { readonly stringValue?: string };
        readonly attributes?: readonly Attribute[];
      }[];
    }[];
  }[];
}

/** Prepares a Collector with TLS, a token and acknowledgements. */
export async function hecCollector(program: string, token: string): Promise<HecCollector> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-otelcol-"));
  const authority = certificate({ subject: "O=Test,CN=authority", isAuthority: true });
  const leaf = certificate({ subject: "CN=localhost", issuer: authority, usage: "server" });
  const at = (name: string): string => join(directory, name);
  writeFileSync(at("tls.crt"), leaf.cert);
  writeFileSync(at("tls.key"), leaf.key);
  writeFileSync(at("token"), token);
  const port = await freePort();
  writeFileSync(at("config.yaml"), configOf(port, directory));
  let child: ChildProcess | undefined;
  let said = "";
  const stop = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const gone = new Promise((resolve) => running.once("exit", resolve));
    running.kill("SIGTERM");
    await gone;
  };
  return {
    url: `https://localhost:${port}`,
    ca: authority.cert,
    start: async () => {
      said = "";
      const own = spawn(program, ["--config", at("config.yaml")], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      child = own;
      own.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
      await until("the Collector is ready", () => {
        if (own.exitCode !== null) throw new Error(`the Collector ended:\n${said.slice(-4000)}`);
        return said.includes("Everything is ready");
      });
    },
    stop,
    accept: (next) => writeFileSync(at("token"), next),
    arrived: () =>
      existsSync(at("out.jsonl")) ? arrivals(readFileSync(at("out.jsonl"), "utf8")) : [],
    dispose: async () => {
      await stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function configOf(port: number, directory: string): string {
  return `
extensions:
  ack: {}
  bearertokenauth: { scheme: Splunk, filename: ${directory}/token }
receivers:
  splunk_hec:
    endpoint: 127.0.0.1:${port}
    tls: { cert_file: ${directory}/tls.crt, key_file: ${directory}/tls.key }
    auth: { authenticator: bearertokenauth }
    ack: { extension: ack }
exporters:
  file: { path: ${directory}/out.jsonl, append: true, flush_interval: 100ms }
service:
  extensions: [ack, bearertokenauth]
  telemetry: { metrics: { level: none } }
  pipelines:
    logs: { receivers: [splunk_hec], exporters: [file] }
`;
}

function arrivals(text: string): HecArrival[] {
  const lines = text.split("\n").slice(0, -1);
  return lines.flatMap((line) => {
    const { resourceLogs } = JSON.parse(line) as Line;
    return resourceLogs.flatMap(({ resource, scopeLogs }) => {
      const of = valueOf(resource.attributes);
      return scopeLogs.flatMap(({ logRecords }) =>
        logRecords.map(({ attributes, timeUnixNano, body }) => ({
          uid: valueOf(attributes)("event_uid"),
          hash: valueOf(attributes)("event_hash"),
          timeMs: Math.round(Number(timeUnixNano) / 1e6),
          host: of("host.name"),
          sourcetype: of("com.splunk.sourcetype"),
          index: of("com.splunk.index"),
          text: body.stringValue,
        })),
      );
    });
  });
}

function valueOf(attributes: readonly Attribute[] = []): (key: string) => string {
  return (key) => attributes.find((one) => one.key === key)?.value.stringValue ?? "";
}
