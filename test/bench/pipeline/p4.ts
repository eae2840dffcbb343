// node test/bench/pipeline/p4.ts [--rounds 40] [--reps 3] [--gzip] [--cpu-prof DIR]      sealed events: OTLP -> intake -> Kafka
//
// CPU is the kernel's clock of the target's process tree; every record is counted at the broker's end offsets. The target has
// core 0 for itself when `taskset` is there; this process, which sends, and the broker have core 1.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:http";
import { homedir, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { freePort } from "../../free-port.ts";
import { type KafkaCluster, startKafka } from "../../services/kafka-broker.ts";
import { median } from "../workload.ts";
import { requestBodies } from "./sealed-events.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "40" },
    reps: { type: "string", default: "3" },
    concurrency: { type: "string", default: "8" },
    gzip: { type: "boolean", default: false },
    "cpu-prof": { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const BODIES = 64;
const PER_BODY = 100;
const TICKS_PER_S = 100;
const here = import.meta.dirname;
const services =
  process.env["COUNTERSIGN_SERVICES_DIR"] ?? join(homedir(), ".cache/countersign/services");

interface Target {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

interface Sample {
  readonly target: string;
  readonly items: number;
  readonly delivered: number;
  readonly cpuS: number;
  readonly wallS: number;
  readonly usPerItem: number;
  readonly itemsPerCpuS: number;
  readonly peakMb: number;
  readonly load1: number;
  readonly othersCpuS: number;
}

function targets(): Target[] {
  const cli = join(here, "../../../packages/cli/bin/countersign.js");
  const profile = options["cpu-prof"];
  const flags = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
  const ours = [
    process.execPath,
    ...flags,
    ...(process.env["BENCH_NODE_FLAGS"]?.split(" ") ?? []),
    cli,
    "processor",
    "--config",
    join(here, "p4.yaml"),
  ];
  const found: Target[] = [{ name: "countersign", command: ours, env: {} }];
  const peer = process.env["OTELCOL"];
  if (peer === undefined) {
    process.stderr.write("OTELCOL is not set: no peer in this run, only countersign\n");
  } else {
    const command = [peer, "--config", join(here, "p4-otelcol-check.yaml")];
    found.push({ name: "otelcol, parses and hashes", command, env: { GOMAXPROCS: "1" } });
  }
  return found;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** User and system seconds of a process, of the children it has reaped, and of all its threads. */
function cpuSeconds(pid: number): number {
  const fields = read(`/proc/${pid}/stat`).split(") ")[1]?.split(" ") ?? [];
  return [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at] ?? 0), 0) / TICKS_PER_S;
}

function peakMb(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;
}

/** Busy seconds of all cores since the machine started. */
function busySeconds(): number {
  const [user, nice, system, , , irq, softirq] = (read("/proc/stat").split("\n", 1)[0] as string)
    .split(/\s+/)
    .slice(1)
    .map(Number) as [number, number, number, number, number, number, number];
  return (user + nice + system + irq + softirq) / TICKS_PER_S;
}

const TASKSET = "/usr/bin/taskset";
const hasTaskset = existsSync(TASKSET);

function start(target: Target, env: Record<string, string>): ReturnType<typeof spawn> {
  const [program, ...args] = hasTaskset ? [TASKSET, "-c", "0", ...target.command] : target.command;
  return spawn(program as string, args, {
    env: { ...process.env, ...target.env, ...env },
    stdio: ["ignore", "ignore", options.json ? "ignore" : "inherit"],
  });
}

async function send(url: string, bodies: readonly Buffer[], rounds: number): Promise<number> {
  const concurrency = Number(options.concurrency);
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  const encoding = options.gzip ? { "content-encoding": "gzip" } : {};
  const post = async (body: Buffer): Promise<number> => {
    const headers = {
      "content-type": "application/x-protobuf",
      "content-length": body.length,
      ...encoding,
    };
    const sent = request(url, { agent, method: "POST", headers });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [import("node:http").IncomingMessage];
    response.resume();
    await once(response, "end");
    return response.statusCode ?? 0;
  };
  const total = rounds * bodies.length;
  let next = 0;
  const loop = async (): Promise<void> => {
    while (next < total) {
      const body = bodies[next++ % bodies.length] as Buffer;
      for (let status = await post(body); status !== 200; status = await post(body)) {
        if (![429, 502, 503, 504].includes(status)) throw new Error(`bench: answered ${status}`);
        await delay(20);
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  agent.destroy();
  return total * PER_BODY;
}

async function untilListening(url: string, isGone: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline && !isGone(); await delay(100)) {
    const answered = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answered) return;
  }
  throw new Error("bench: the target does not listen");
}

async function stored(cluster: KafkaCluster, topic: string): Promise<number> {
  const partitions = await (await cluster.admin()).fetchTopicOffsets(topic);
  return partitions.reduce((sum, { high }) => sum + Number(high), 0);
}

async function measure(cluster: KafkaCluster, target: Target, bodies: readonly Buffer[]) {
  const topic = `bench-${target.name.slice(0, 7)}-${Date.now()}`;
  await cluster.topic({ name: topic, partitions: 3 });
  await cluster.topic({ name: `${topic}.aside` });
  const directory = mkdtempSync(join(tmpdir(), "countersign-p4-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const url = `http://${listen}/v1/logs`;
  const env = {
    BENCH_LISTEN: listen,
    BENCH_KAFKA: cluster.brokers[0] as string,
    BENCH_TOPIC: topic,
    BENCH_COMPRESSION: options.gzip ? "gzip" : "none",
    BENCH_DIR: directory,
  };
  const child = start(target, env);
  const pid = child.pid as number;
  const ended = once(child, "exit");
  try {
    await untilListening(url, () => child.exitCode !== null);
    const rounds = Number(options.rounds);
    await send(url, bodies, Math.ceil(rounds / 4));
    const before = { at: performance.now(), cpu: cpuSeconds(pid), own: process.cpuUsage() };
    const [base, busy, load1] = [await stored(cluster, topic), busySeconds(), loadavg()[0]];
    const items = await send(url, bodies, rounds);
    const cpuS = cpuSeconds(pid) - before.cpu;
    const wallS = (performance.now() - before.at) / 1000;
    const own = process.cpuUsage(before.own);
    const othersCpuS = busySeconds() - busy - cpuS - (own.user + own.system) / 1e6;
    const delivered = (await stored(cluster, topic)) - base;
    const aside = await stored(cluster, `${topic}.aside`);
    if (delivered !== items || aside !== 0)
      throw new Error(`bench: ${items} sent, ${delivered} stored, ${aside} put aside`);
    return {
      target: target.name,
      items,
      delivered,
      cpuS,
      wallS,
      usPerItem: (1e6 * cpuS) / items,
      itemsPerCpuS: Math.round(items / cpuS),
      peakMb: Math.round(peakMb(pid)),
      load1: load1 as number,
      othersCpuS,
    } satisfies Sample;
  } finally {
    child.kill("SIGTERM");
    await ended;
    rmSync(directory, { recursive: true, force: true });
  }
}

function print(samples: readonly Sample[]): void {
  for (const name of new Set(samples.map(({ target }) => target))) {
    const own = samples.filter(({ target }) => target === name);
    const rates = own.map(({ itemsPerCpuS }) => itemsPerCpuS).toSorted((a, b) => a - b);
    const us = median(own.map(({ usPerItem }) => usPerItem));
    process.stdout.write(
      `P4 ${options.gzip ? "gzip" : "plain"} ${name}: ${rates[0]} / ${median(rates)} / ${rates.at(-1)} events per CPU second ` +
        `(min / median / max of ${own.length}), ${us.toFixed(1)} µs an event, peak ${Math.max(...own.map((one) => one.peakMb))} MB, ` +
        `load ${own.map(({ load1 }) => load1.toFixed(1)).join(" ")}\n`,
    );
  }
}

if (hasTaskset && process.env["BENCH_PINNED"] === undefined)
  execFileSync(TASKSET, ["-a", "-p", "-c", "1", String(process.pid)], { stdio: "ignore" });
const cluster = await startKafka(join(services, "bin", "kafka"), { nodes: 1 });
try {
  const plain = requestBodies(BODIES, PER_BODY);
  const bodies = options.gzip ? plain.map((body) => gzipSync(body)) : plain;
  const samples: Sample[] = [];
  for (let rep = 0; rep < Number(options.reps); rep += 1) {
    for (const target of targets()) {
      const sample = await measure(cluster, target, bodies);
      samples.push(sample);
      process.stderr.write(`${JSON.stringify(sample)}\n`);
    }
  }
  if (options.json) process.stdout.write(`${JSON.stringify({ samples })}\n`);
  else print(samples);
} finally {
  await cluster.dispose();
}
