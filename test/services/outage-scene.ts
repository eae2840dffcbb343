// One processor from OTLP through Kafka to a sink, under load, and a front before the sink that a test can make do what it likes.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "../free-port.ts";
import { type HttpFront, httpFront } from "./http-front.ts";
import { type KafkaCluster, startKafka } from "./kafka-broker.ts";
import { type Emitter, plainEmitter, type Sent } from "./otlp-emitters.ts";
import type { OutageSink } from "./outage-sinks.ts";
import { type ProcessorCommand, processorCommand } from "./processor-command.ts";

const EVENTS = "countersign.events.v1";
const PARTITIONS = 3;
const EMITTERS = 3;
const BURST = 20;
const PAUSE_MS = 100;
const MAIN = join(import.meta.dirname, "..", "..", "packages", "cli", "src", "main.ts");

/** What a command did. */
export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Everything that runs. */
export interface OutageScene {
  readonly cluster: KafkaCluster;
  readonly front: HttpFront;
  readonly processor: ProcessorCommand;
  readonly sent: Sent;
  /** Begins to send, without end. */
  begin(): void;
  /** Ends the chains; resolves when everything is acknowledged. */
  finish(): Promise<void>;
  /** One figure of the processor, by its whole name; undefined when it does not answer. */
  metric(name: string): Promise<number | undefined>;
  /** What /ready says. */
  ready(): Promise<{ status: number; body: string }>;
  /** `countersign <command> --config …`. */
  countersign(command: string, ...args: string[]): Promise<Ran>;
  dispose(): Promise<void>;
}

/** Starts everything. `program` is what `.ci/services.sh kafka` made. */
export async function startOutageScene(program: string, sink: OutageSink): Promise<OutageScene> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-outage-"));
  const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
  const dispose = async (): Promise<void> => {
    for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  };
  try {
    return { ...(await startAll({ program, sink, directory, cleanups })), dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function startAll(of: {
  program: string;
  sink: OutageSink;
  directory: string;
  cleanups: (() => unknown)[];
}): Promise<Omit<OutageScene, "dispose">> {
  const { program, sink, directory, cleanups } = of;
  const cluster = await startKafka(program, { nodes: 1 });
  cleanups.push(() => cluster.dispose());
  await cluster.topic({ name: EVENTS, partitions: PARTITIONS });
  for (const name of ["countersign.receipts.v1", "countersign.dlq.v1", "countersign.quarantine.v1"])
    await cluster.topic({ name });
  const front = await httpFront(await freePort(), sink);
  cleanups.push(() => front.close());
  const [otlpPort, healthPort, metricsPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const configFile = join(directory, "processor.yaml");
  const brokers = cluster.brokers.join(", ");
  const config = configOf({
    brokers,
    sink,
    endpoint: sink.speaksHttp ? front.url : `127.0.0.1:${sink.port}`,
    otlpPort,
    healthPort,
    metricsPort,
  });
  const processor = processorCommand({ configFile, config, healthPort });
  cleanups.push(() => processor.kill());
  await processor.start();
  const sent: Sent = { made: new Set(), answered: new Set(), refusals: 0, partial: 0 };
  const given = new AbortController();
  cleanups.push(() => given.abort());
  const target = { endpoint: `http://127.0.0.1:${otlpPort}`, sent, signal: given.signal };
  const emitters = Array.from({ length: EMITTERS }, (_, at) =>
    plainEmitter(`sender-${at}`, target),
  );
  return {
    cluster,
    front,
    processor,
    sent,
    ...crowdOf(emitters),
    metric: (name) => metricAt(metricsPort, name),
    ready: async () => {
      const answer = await fetch(`http://127.0.0.1:${healthPort}/ready`);
      return { status: answer.status, body: await answer.text() };
    },
    countersign: (command, ...args) => countersign([command, "--config", configFile, ...args]),
  };
}

function crowdOf(emitters: readonly Emitter[]): Pick<OutageScene, "begin" | "finish"> {
  const finishing = new AbortController();
  let running: Promise<void>[] = [];
  const emit = async (emitter: Emitter): Promise<void> => {
    while (!finishing.signal.aborted) {
      await emitter.send(BURST);
      await delay(PAUSE_MS);
    }
    await emitter.end();
  };
  return {
    begin: () => {
      running = emitters.map(emit);
      // Looked at by `finish`; a test that fails before does not fail twice.
      for (const one of running) one.catch(() => undefined);
    },
    finish: async () => {
      finishing.abort();
      await Promise.all(running);
    },
  };
}

async function metricAt(port: number, name: string): Promise<number | undefined> {
  try {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    const line = text.split("\n").find((one) => one.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  } catch {
    return undefined;
  }
}

function countersign(args: readonly string[]): Promise<Ran> {
  const argv = ["--conditions=@countersign/source", MAIN, ...args];
  return new Promise((resolve) =>
    execFile(process.execPath, argv, { maxBuffer: 64 * 1024 ** 2 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    ),
  );
}

function configOf(of: {
  brokers: string;
  sink: OutageSink;
  endpoint: string;
  otlpPort: number;
  healthPort: number;
  metricsPort: number;
}): string {
  const { brokers, sink, endpoint, otlpPort, healthPort, metricsPort } = of;
  return `
extensions:
  health_check: { endpoint: 127.0.0.1:${healthPort} }
  metrics: { endpoint: 127.0.0.1:${metricsPort} }
clients:
  main: { brokers: [${brokers}] }
receivers:
  otlp: { protocols: { http: { endpoint: 127.0.0.1:${otlpPort} } } }
  kafka/siem: { client: main, group: countersign-siem, session_timeout: 8s, rebalance_timeout: 10s }
processors:
  intake: {}
exporters:
  kafka: { client: main, topic: ${EVENTS} }
  kafka/dead_letter: { client: main, topic: countersign.dlq.v1 }
  kafka/quarantine: { client: main, topic: countersign.quarantine.v1 }
  kafka/receipts: { client: main, topic: countersign.receipts.v1 }
  ${sink.exporter}: ${sink.settings(endpoint)}
service:
  extensions: [health_check, metrics]
  dead_letter: kafka/dead_letter
  quarantine: kafka/quarantine
  receipts: kafka/receipts
  pipelines:
    decisions: { receivers: [otlp], processors: [intake], exporters: [kafka] }
    decisions/siem: { receivers: [kafka/siem], exporters: [${sink.exporter}] }
`;
}
