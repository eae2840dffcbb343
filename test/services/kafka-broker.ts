// Real Kafka brokers (KRaft, each broker and controller in one) on loopback, as child processes of the test.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Admin, Kafka } from "kafkajs";
import { loadKafkajs } from "../../packages/processor/src/kafka/kafkajs-patched.ts";
import { freePort } from "../free-port.ts";
import { certificate, type Ports, propertiesOf } from "./kafka-properties.ts";

const run = promisify(execFile);

/** One broker. */
export interface KafkaNode {
  readonly id: number;
  /** PLAINTEXT, where nobody asks who you are: a superuser. */
  readonly broker: string;
  /** The listener whose advertised address is the test's own proxy. Only with `proxyPorts`. */
  readonly proxied: string;
  /** Where its segments are. */
  readonly directory: string;
  /** Resolves when the process runs; {@link KafkaCluster.ready} says when it answers. */
  start(): void;
  /** SIGKILL by pid; resolves when the process is gone. */
  kill(): Promise<void>;
}

/** Brokers that know each other. */
export interface KafkaCluster {
  readonly nodes: readonly KafkaNode[];
  readonly brokers: readonly string[];
  /** SASL/SCRAM listeners of the first broker, plain and over TLS. Only with `secured`. */
  readonly sasl: string;
  readonly saslTls: string;
  readonly ca: string;
  /** Waits until `count` brokers answer as one cluster. */
  ready(count?: number): Promise<void>;
  /** A superuser's connection; ends with `dispose`. */
  admin(): Promise<Admin>;
  topic(topic: TopicWish): Promise<void>;
  /** Kills everything, by pid, and removes its files. */
  dispose(): Promise<void>;
}

/** A topic as the contract wants it, but for what a test changes. */
export interface TopicWish {
  readonly name: string;
  readonly partitions?: number;
  readonly replicas?: number;
  /** Replicas of each partition, the preferred leader first, instead of `partitions` and `replicas`. */
  readonly assignment?: readonly (readonly number[])[];
  readonly config?: Readonly<Record<string, string>>;
}

/** What a cluster can do beside the plain. */
export interface ClusterOptions {
  readonly nodes: number;
  /** SCRAM users (name to password), TLS, and an authorizer: those users may do nothing until the test says so. */
  readonly users?: Readonly<Record<string, string>>;
  /** Of each broker, the port of a proxy that stands before its listener `proxied`. */
  readonly proxyPorts?: readonly number[];
}

/** In a long run the machine may have other work. */
const START_TIMEOUT_MS = process.env["COUNTERSIGN_LONG"] === "1" ? 300_000 : 90_000;
const CLUSTER_ID = "Q291bnRlcnNpZ25UZXN0cw";
const JVM = "-Xms48m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto";

/** Prepares the brokers and starts them. Resolves when all answer. `program` is what `.ci/services.sh kafka` made. */
export async function startKafka(program: string, options: ClusterOptions): Promise<KafkaCluster> {
  const root = mkdtempSync(join(tmpdir(), "countersign-kafka-"));
  const ports: Ports[] = [];
  for (let at = 0; at < options.nodes; at += 1) ports.push(await portsOf());
  const ca = options.users === undefined ? "" : await certificate(root);
  const nodes = ports.map((own, at) => nodeOf({ program, root, id: at + 1, own }));
  for (const [at, node] of nodes.entries()) {
    const own = ports[at] as Ports;
    writeFileSync(fileOf(root, node), propertiesOf({ root, node, own, ports, options }));
  }
  await format({ program, root, nodes, users: options.users ?? {} });
  const cluster = new RunningCluster(root, nodes, { ports, ca });
  for (const node of nodes) node.start();
  try {
    await cluster.ready();
  } catch (error) {
    await cluster.dispose();
    throw error;
  }
  return cluster;
}

const fileOf = (root: string, { id }: KafkaNode): string => join(root, `${id}.properties`);

/** One formatting for all: what the others get differs in two lines, and a Java that starts for each would cost seconds. */
async function format(of: {
  program: string;
  root: string;
  nodes: readonly KafkaNode[];
  users: Readonly<Record<string, string>>;
}): Promise<void> {
  const { program, root, nodes, users } = of;
  const [first, ...others] = nodes;
  if (first === undefined) return;
  const scram = Object.entries(users).flatMap(([name, password]) => [
    "--add-scram",
    `SCRAM-SHA-512=[name=${name},password=${password}]`,
  ]);
  await run(
    program,
    ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", fileOf(root, first), ...scram],
    { env: { ...process.env, KAFKA_JVM_OPTIONS: JVM } },
  );
  const meta = readFileSync(join(first.directory, "meta.properties"), "utf8");
  for (const { id, directory } of others) {
    copyFileSync(
      join(first.directory, "bootstrap.checkpoint"),
      join(directory, "bootstrap.checkpoint"),
    );
    const own = meta
      .replace(/^node\.id=.*$/m, `node.id=${id}`)
      .replace(/^directory\.id=.*$/m, `directory.id=${randomBytes(16).toString("base64url")}`);
    writeFileSync(join(directory, "meta.properties"), own);
  }
}

async function portsOf(): Promise<Ports> {
  return {
    plain: await freePort(),
    controller: await freePort(),
    sasl: await freePort(),
    saslTls: await freePort(),
    proxied: await freePort(),
  };
}

function nodeOf(of: { program: string; root: string; id: number; own: Ports }): KafkaNode {
  const { program, root, id, own } = of;
  const directory = join(root, `data-${id}`);
  mkdirSync(directory);
  let child: ChildProcess | undefined;
  return {
    id,
    broker: at(own.plain),
    proxied: at(own.proxied),
    directory,
    start: () => {
      const log = openSync(join(root, `${id}.log`), "a");
      child = spawn(program, ["kafka.Kafka", join(root, `${id}.properties`)], {
        stdio: ["ignore", log, log],
        env: { ...process.env, KAFKA_JVM_OPTIONS: JVM },
      });
      closeSync(log);
    },
    kill: async () => {
      const running = child;
      child = undefined;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const gone = once(running, "exit");
      running.kill("SIGKILL");
      await gone;
    },
  };
}

const at = (port: number | undefined): string => `127.0.0.1:${port}`;

class RunningCluster implements KafkaCluster {
  readonly nodes: readonly KafkaNode[];
  readonly sasl: string;
  readonly saslTls: string;
  readonly ca: string;
  readonly #root: string;
  #admin: Admin | undefined;

  constructor(
    root: string,
    nodes: readonly KafkaNode[],
    of: { ports: readonly Ports[]; ca: string },
  ) {
    this.#root = root;
    this.nodes = nodes;
    this.ca = of.ca;
    this.sasl = at(of.ports[0]?.sasl);
    this.saslTls = at(of.ports[0]?.saslTls);
  }

  get brokers(): readonly string[] {
    return this.nodes.map(({ broker }) => broker);
  }

  async ready(count: number = this.nodes.length): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < deadline) {
      const found = await this.#counted();
      if (found >= count) return;
      await delay(200);
    }
    const logs = this.nodes.map(({ id }) =>
      readFileSync(join(this.#root, `${id}.log`), "utf8").slice(-1500),
    );
    throw new Error(`kafka: fewer than ${count} brokers answer: ${logs.join("\n")}`);
  }

  async #counted(): Promise<number> {
    const admin = client(this.brokers).admin();
    try {
      await admin.connect();
      return (await admin.describeCluster()).brokers.length;
    } catch {
      return 0;
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  async admin(): Promise<Admin> {
    if (this.#admin === undefined) {
      this.#admin = client(this.brokers).admin();
      await this.#admin.connect();
    }
    return this.#admin;
  }

  async topic(wish: TopicWish): Promise<void> {
    const { name, partitions = 1, replicas = this.nodes.length, assignment, config = {} } = wish;
    const admin = await this.admin();
    const settings = {
      "cleanup.policy": "delete",
      "min.insync.replicas": replicas > 1 ? "2" : "1",
      ...config,
    };
    await admin.createTopics({
      waitForLeaders: false,
      topics: [
        {
          topic: name,
          ...(assignment === undefined
            ? { numPartitions: partitions, replicationFactor: replicas }
            : {
                replicaAssignment: assignment.map((ids, partition) => ({
                  partition,
                  replicas: [...ids],
                })),
              }),
          configEntries: Object.entries(settings).map(([key, value]) => ({ name: key, value })),
        },
      ],
    });
    await this.#led(admin, name);
  }

  /** A broker that has just come back does not know the newest topic at once. */
  async #led(admin: Admin, topic: string): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      const found = await admin.fetchTopicMetadata({ topics: [topic] }).catch(() => undefined);
      const partitions = found?.topics[0]?.partitions ?? [];
      if (partitions.length > 0 && partitions.every(({ leader }) => leader >= 0)) return;
      if (Date.now() > deadline) throw new Error(`kafka: ${topic} has no leaders`);
      await delay(100);
    }
  }

  async dispose(): Promise<void> {
    await this.#admin?.disconnect().catch(() => undefined);
    await Promise.all(this.nodes.map((node) => node.kill()));
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** A plain client of the library, for what a test does beside the code under test. */
export function client(brokers: readonly string[]): Kafka {
  const { Kafka: Client, logLevel } = loadKafkajs();
  return new Client({
    brokers: [...brokers],
    clientId: "test",
    logLevel: logLevel.NOTHING,
    retry: { retries: 8, initialRetryTime: 100, maxRetryTime: 1000 },
  });
}
