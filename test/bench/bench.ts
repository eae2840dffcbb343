// pnpm bench [--rounds 3] [--calls 10000] [--identity] [--json]      what a call costs, beside peers measured in the same run;
//                                                                     then a short form of the bench of pipelines
// pnpm bench --pipeline [...]                                         that bench alone: see pipeline/run.ts
// pnpm bench --journal [...]                                          the journal beside the bare disk: see journal.ts
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { InprocJob, InprocSample } from "./inproc.ts";
import { fdatasyncFloorUs, sampleInChild, startUpMs } from "./machine.ts";
import type { IdentityFigure, IdentitySample, IdentityTarget } from "./identity.ts";
import { printIdentity, printTable } from "./print.ts";
import type { IdentityRow, Row } from "./print.ts";
import type { StdioJob, StdioSample } from "./stdio.ts";
import { policyText } from "./targets.ts";
import type { TargetName } from "./targets.ts";
import { median } from "./workload.ts";

const here = import.meta.dirname;
/** In a process of its own: it moves itself to one core. */
function pipeline(args: readonly string[]): number {
  return fromSource(join("pipeline", "run.ts"), args);
}

function fromSource(script: string, args: readonly string[]): number {
  const flags = ["--conditions=@countersign/source", "--expose-gc", join(here, script)];
  const { status } = spawnSync(process.execPath, [...flags, ...args], { stdio: "inherit" });
  return status ?? 1;
}
if (process.argv[2] === "--pipeline") process.exit(pipeline(process.argv.slice(3)));
if (process.argv[2] === "--journal") process.exit(fromSource("journal.ts", process.argv.slice(3)));

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    calls: { type: "string", default: "10000" },
    warm: { type: "string", default: "3000" },
    starts: { type: "string", default: "10" },
    json: { type: "boolean", default: false },
    identity: { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
const counts = { calls: Number(options.calls), warm: Number(options.warm) };
const directory = mkdtempSync(join(process.env["BENCH_DISK"] ?? tmpdir(), "countersign-bench-"));
const cli = join(here, "..", "..", "packages", "cli", "bin", "countersign.js");
const server = [process.execPath, join(here, "stdio-server.mjs")];
const env: NodeJS.ProcessEnv = { BENCH_DIR: directory };

function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${text}`);
}

async function inproc(sdk: "v1" | "v2", concurrency: number): Promise<Row[]> {
  const names: TargetName[] = ["plain", "otel-span", "countersign"];
  if (process.env["BENCH_SPICEDB_ENDPOINT"] !== undefined)
    names.push("spicedb-bare", "countersign-spicedb");
  const samples = new Map<TargetName, InprocSample[]>(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    // Rounds turn the order, so that no target always runs on a warm or a busy machine.
    for (const name of [
      ...names.slice(round % names.length),
      ...names.slice(0, round % names.length),
    ]) {
      say(`in process, ${sdk}, ${concurrency} at a time: ${name}, round ${round + 1} of ${rounds}`);
      const job: InprocJob = { target: name, sdk, concurrency, ...counts };
      samples.get(name)?.push(await sampleInChild<InprocSample>("inproc.ts", job, env));
    }
  }
  const of = (name: TargetName, key: keyof InprocSample) =>
    median((samples.get(name) ?? []).map((sample) => sample[key]));
  return names.map((name) => ({
    what: `${sdk}, ${concurrency} at a time: ${name}`,
    cpuUs: of(name, "cpuUs") - (name === "plain" ? 0 : of("plain", "cpuUs")),
    p50Us: of(name, "p50Us") - (name === "plain" ? 0 : of("plain", "p50Us")),
    heapBytesPerCall: of(name, "heapBytesPerCall"),
    peer: { countersign: "otel-span", "countersign-spicedb": "spicedb-bare" }[name as string],
    group: `${sdk}/${concurrency}`,
    name,
  }));
}

async function guard(): Promise<Row[]> {
  const policy = join(directory, "policy.yaml");
  writeFileSync(policy, policyText());
  const state = mkdtempSync(join(directory, "guard-"));
  const base = { PATH: process.env["PATH"] ?? "", HOME: directory };
  const guarded = { ...base, COUNTERSIGN_STATE_DIR: state, COUNTERSIGN_ASSERTED_HUMAN: "bench" };
  const ways: Record<string, [string[], Record<string, string>]> = {
    direct: [server, base],
    "parse-forward": [[process.execPath, join(here, "parse-forward.mjs"), ...server], base],
    guard: [[process.execPath, cli, "guard", "--policy", policy, "--", ...server], guarded],
  };
  const samples: Record<string, StdioSample[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [name, [[command, ...args], childEnv]] of Object.entries(ways)) {
      say(`guard: ${name}, round ${round + 1} of ${rounds}`);
      const job: StdioJob = {
        command: command as string,
        args,
        env: childEnv,
        concurrency: 1,
        ...counts,
      };
      (samples[name] ??= []).push(await sampleInChild<StdioSample>("stdio.ts", job, env));
    }
  }
  const p50 = (name: string) => median((samples[name] ?? []).map((sample) => sample.p50Us));
  return Object.keys(ways).map((name) => ({
    what: `stdio: ${name}`,
    p50Us: p50(name) - (name === "direct" ? 0 : p50("direct")),
    peer: name === "guard" ? "parse-forward" : undefined,
    group: "stdio",
    name,
  }));
}

async function startUp(): Promise<Row[]> {
  const policy = join(directory, "policy.yaml");
  writeFileSync(policy, policyText());
  const base = { PATH: process.env["PATH"] ?? "", HOME: directory };
  const ours = {
    ...base,
    COUNTERSIGN_POLICY: policy,
    COUNTERSIGN_STATE_DIR: mkdtempSync(join(directory, "register-")),
    COUNTERSIGN_ASSERTED_HUMAN: "bench",
  };
  const register = import.meta.resolve("@countersign/server/register");
  const ways: Record<string, [string[], NodeJS.ProcessEnv]> = {
    plain: [[], base],
    "otel-span": [["--import", join(here, "otel-register.mjs")], base],
    register: [["--import", register], ours],
  };
  const times: Record<string, number[]> = {};
  for (let round = 0; round < Number(options.starts); round++) {
    for (const [name, [flags, childEnv]] of Object.entries(ways)) {
      say(`start-up: ${name}, ${round + 1} of ${options.starts}`);
      (times[name] ??= []).push(
        await startUpMs(process.execPath, [...flags, server[1] as string], childEnv),
      );
    }
  }
  const of = (name: string) => median(times[name] ?? []);
  return Object.keys(ways).map((name) => ({
    what: `start-up: ${name}`,
    startUpMs: of(name) - (name === "plain" ? 0 : of("plain")),
    peer: name === "register" ? "otel-span" : undefined,
    group: "start-up",
    name,
  }));
}

/** Call proofs by themselves: absolute figures, so a table of their own. */
async function identity(): Promise<IdentityRow[]> {
  const samples: IdentitySample[] = [];
  for (let round = 0; round < rounds; round++) {
    say(`call proofs: round ${round + 1} of ${rounds}`);
    samples.push(await sampleInChild<IdentitySample>("identity.ts", counts, env));
  }
  const names = Object.keys(samples[0] ?? {}) as IdentityTarget[];
  const of = (name: IdentityTarget, key: keyof IdentityFigure) =>
    median(samples.map((sample) => sample[name][key]));
  return names.map((name) => {
    const [cpuUs, p50Us] = [of(name, "cpuUs"), of(name, "p50Us")];
    return { name, cpuUs, p50Us, at16Us: of(name, "at16Us") };
  });
}

try {
  if (options.identity) {
    const rows = await identity();
    say("");
    if (options.json) process.stdout.write(`${JSON.stringify({ rows })}\n`);
    else printIdentity(rows);
    process.exit();
  }
  const floorUs = await fdatasyncFloorUs(directory);
  const rows: Row[] = [];
  for (const sdk of ["v1", "v2"] as const) {
    for (const concurrency of [1, 64]) rows.push(...(await inproc(sdk, concurrency)));
  }
  rows.push(...(await guard()), ...(await startUp()));
  say("");
  if (options.json) process.stdout.write(`${JSON.stringify({ floorUs, rows })}\n`);
  else {
    printTable(floorUs, rows);
    process.stdout.write("\n");
    process.exitCode = pipeline(["--reps", "1", "--scale", "0.5"]);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
