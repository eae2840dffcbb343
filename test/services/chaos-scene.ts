// The whole way of an event, of real parts: emitters → a balancer → two processors of one group → three brokers → files.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createRandom, type Random } from "../../packages/processor/src/testing/random.ts";
import { freePort } from "../free-port.ts";
import { type Deliveries, followLines } from "./chaos-log.ts";
import { type KafkaCluster, startKafka } from "./kafka-broker.ts";
import {
  type Emitter,
  journalEmitter,
  plainEmitter,
  type Sent,
  type Target,
} from "./otlp-emitters.ts";
import { type ProcessorCommand, processorCommand } from "./processor-command.ts";
import { type TcpProxy, tcpProxy } from "./tcp-proxy.ts";

export const EVENTS = "countersign.events.v1";
export const RECEIPTS = "countersign.receipts.v1";
export const LETTERS = "countersign.dlq.v1";
export const QUARANTINE = "countersign.quarantine.v1";
export const SINK = "file/siem";
export const PARTITIONS = 6;
const BROKERS = 3;
const REPLICAS = 2;
const BURST = 25;
const PAUSE_MS = 1000;

/** How much is sent, by whom. */
export interface Load {
  readonly events: number;
  /** Plain OTLP senders, and journals with their shippers. */
  readonly senders: number;
  readonly journals: number;
}

/** Everything that runs. */
export interface ChaosScene {
  readonly cluster: KafkaCluster;
  /** Each stands between the processors and one broker, for what they write and what they read. */
  readonly networks: readonly TcpProxy[];
  readonly processors: readonly ProcessorCommand[];
  readonly sent: Sent;
  readonly deliveries: Deliveries;
  /** Begins to send: bursts and pauses, each emitter its own, without end; the last ones of `events` wait for `finish`. */
  begin(): void;
  /** Sends what is left and ends the chains; resolves when all is acknowledged. */
  finish(): Promise<void>;
  dispose(): Promise<void>;
}

/** Starts everything. `program` is what `.ci/services.sh kafka` made. */
export async function startChaosScene(program: string, load: Load): Promise<ChaosScene> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-chaos-"));
  const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
  const dispose = async (): Promise<void> => {
    for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  };
  try {
    return { ...(await startAll({ program, load, directory, cleanups })), dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function startAll(of: {
  program: string;
  load: Load;
  directory: string;
  cleanups: (() => unknown)[];
}): Promise<Omit<ChaosScene, "dispose">> {
  const { program, load, directory, cleanups } = of;
  const proxyPorts = await portsFor(BROKERS);
  const cluster = await startKafka(program, { nodes: BROKERS, proxyPorts });
  cleanups.push(() => cluster.dispose());
  await cluster.topic({ name: EVENTS, partitions: PARTITIONS });
  for (const name of [RECEIPTS, LETTERS, QUARANTINE]) await cluster.topic({ name });
  const networks = await Promise.all(
    proxyPorts.map((port, at) => tcpProxy(port, () => portOf(cluster.nodes[at]?.proxied))),
  );
  const otlpPorts = await portsFor(REPLICAS);
  const outOf = (at: number): string => join(directory, `out-${at}`);
  const processors: ProcessorCommand[] = [];
  for (const [at, otlpPort] of otlpPorts.entries()) {
    const healthPort = await freePort();
    const config = configOf({ otlpPort, healthPort, out: outOf(at), proxyPorts });
    const configFile = join(directory, `${at}.yaml`);
    processors.push(processorCommand({ configFile, config, healthPort }));
  }
  const balancer = await balancerOf(processors, otlpPorts);
  cleanups.push(() => Promise.all([balancer, ...networks].map((proxy) => proxy.close())));
  cleanups.push(() => Promise.all(processors.map((processor) => processor.kill())));
  await Promise.all(processors.map((processor) => processor.start()));
  const sent: Sent = { made: new Set(), answered: new Set(), refusals: 0, partial: 0 };
  const given = new AbortController();
  cleanups.push(() => given.abort());
  const emitters = emittersOf({
    load,
    directory: join(directory, "journals"),
    target: { endpoint: `http://127.0.0.1:${balancer.port}`, sent, signal: given.signal },
  });
  const deliveries = followLines(() => otlpPorts.map((_, at) => outOf(at)));
  return { cluster, networks, processors, sent, deliveries, ...crowdOf(emitters, load.events) };
}

/** Emitters at work: bursts and pauses, each its own. */
function crowdOf(
  emitters: readonly Emitter[],
  events: number,
): Pick<ChaosScene, "begin" | "finish"> {
  const quota = Math.ceil(events / emitters.length);
  const finishing = new AbortController();
  let running: Promise<void>[] = [];
  const emit = async (emitter: Emitter, random: Random): Promise<void> => {
    let left = quota;
    while (!finishing.signal.aborted) {
      // Whoever has sent its share goes on, one by one: a fault always meets somebody.
      const count = left > BURST ? 1 + random.below(BURST) : 1;
      await emitter.send(count);
      left -= count;
      await delay(random.below(PAUSE_MS));
    }
    for (; left > 0; left -= BURST) await emitter.send(Math.min(left, BURST));
    await emitter.end();
  };
  return {
    begin: () => {
      running = emitters.map((emitter, at) => emit(emitter, createRandom(at)));
      // Looked at by `finish`; a test that fails before does not fail twice.
      for (const one of running) one.catch(() => undefined);
    },
    finish: async () => {
      finishing.abort();
      await Promise.all(running);
    },
  };
}

async function portsFor(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let at = 0; at < count; at += 1) ports.push(await freePort());
  return ports;
}

const portOf = (address: string | undefined): number => Number(address?.split(":")[1]);

/** Each new connection goes to the next processor that has a process, whether it works or not. */
async function balancerOf(
  processors: readonly ProcessorCommand[],
  ports: readonly number[],
): Promise<TcpProxy> {
  let turn = 0;
  return await tcpProxy(await freePort(), () => {
    const running = ports.filter((_, at) => processors[at]?.runs);
    turn += 1;
    return running[turn % running.length] ?? (ports[0] as number);
  });
}

function emittersOf(of: { load: Load; directory: string; target: Target }): readonly Emitter[] {
  const { load, directory, target } = of;
  mkdirSync(directory);
  return [
    ...Array.from({ length: load.senders }, (_, at) => plainEmitter(`sender-${at}`, target)),
    ...Array.from({ length: load.journals }, (_, at) =>
      journalEmitter(`journal-${at}`, { ...target, directory }),
    ),
  ];
}

function configOf(of: {
  otlpPort: number;
  healthPort: number;
  out: string;
  proxyPorts: readonly number[];
}): string {
  const brokers = of.proxyPorts.map((port) => `127.0.0.1:${port}`).join(", ");
  return `
extensions:
  health_check: { endpoint: 127.0.0.1:${of.healthPort} }
clients:
  main: { brokers: [${brokers}], request_timeout: 5s, require: { min_insync_replicas: 2, replication: ${BROKERS} } }
receivers:
  otlp: { protocols: { http: { endpoint: 127.0.0.1:${of.otlpPort} } } }
  kafka/siem: { client: main, group: countersign-siem, session_timeout: 8s, rebalance_timeout: 10s }
processors:
  intake: {}
exporters:
  kafka: { client: main, topic: ${EVENTS}, timeout: 8s }
  kafka/dead_letter: { client: main, topic: ${LETTERS} }
  kafka/quarantine: { client: main, topic: ${QUARANTINE} }
  kafka/receipts: { client: main, topic: ${RECEIPTS} }
  ${SINK}: { directory: ${of.out}, format: native }
service:
  extensions: [health_check]
  dead_letter: kafka/dead_letter
  quarantine: kafka/quarantine
  receipts: kafka/receipts
  pipelines:
    decisions: { receivers: [otlp], processors: [intake], exporters: [kafka] }
    decisions/siem: { receivers: [kafka/siem], exporters: [${SINK}] }
`;
}
