// SIGKILL at any moment, one process and four with one state directory, over and over. What a process was told is durable
// arrives at the receiver; no tool ran without that; nothing else does than what was sealed; no number is used twice; epoch numbers have no hole.
// kill -9 says nothing about fdatasync: the page cache survives it. That is what the faulty disk is for.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { createJournal, listEpochs } from "@countersign/journal";
import { unseal, verifyChain } from "@countersign/model";
import { expect, test } from "vitest";
import {
  EPOCH_INFO,
  eventually,
  recordingLogger,
  startOf,
} from "../../packages/journal/src/testing/journal-fixture.ts";
import {
  type OtlpReceiver,
  type ReceivedEvent,
  startOtlpReceiver,
} from "../../packages/journal/src/testing/otlp-receiver.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";
/** About what a process needs until its first event is durable. */
const START_UP_MS = 200;
const CHILD = fileURLToPath(new URL("./fixtures/journal-child.ts", import.meta.url));

/** Seeded: a failure can be repeated. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Where the tool of the children leaves its traces: one line for each run. */
function effectsOf(directory: string): string {
  return join(directory, "..", "effects");
}

interface Child {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown>;
  readonly lines: Promise<unknown>;
}

function start(directory: string, endpoint: string, told: Map<string, string>): Child {
  // Else most of what a kill costs is the compilation of what the last one compiled.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(directory, "..", "compiled") };
  const child = spawn(
    process.execPath,
    ["--conditions=@countersign/source", CHILD, directory, endpoint, effectsOf(directory)],
    { stdio: ["ignore", "pipe", "inherit"], env },
  );
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => {
    const [epoch, seq, hash] = line.split(" ");
    // The last line may have been cut by the kill.
    if (hash?.length === 64) told.set(`${epoch}/${seq}`, hash);
  });
  return {
    process: child,
    exited: new Promise((resolve) => child.once("exit", resolve)),
    lines: new Promise((resolve) => reader.once("close", resolve)),
  };
}

async function killLoop(
  processes: number,
  rounds: number,
  receiver: OtlpReceiver,
): Promise<{ directory: string; told: Map<string, string> }> {
  const directory = join(mkdtempSync(join(tmpdir(), "countersign-kill-")), "journal");
  const told = new Map<string, string>();
  const random = randomFrom(processes * 1_000 + rounds);
  for (let round = 0; round < rounds; round++) {
    const before = told.size;
    const children = Array.from({ length: processes }, () =>
      start(directory, receiver.endpoint, told),
    );
    // Sometimes while they start and recover, mostly in the middle.
    if (random() < 0.2) await delay(random() * START_UP_MS);
    else await eventually(() => told.size > before + Math.floor(random() * 100), 60_000);
    for (const child of children) {
      await delay(random() * 20);
      child.process.kill("SIGKILL");
    }
    await Promise.all(children.flatMap((child) => [child.exited, child.lines]));
    if ((round + 1) % 500 === 0) console.log(`${round + 1} rounds, ${told.size} events told`);
  }
  return { directory, told };
}

/** Epochs of which something is on the disk; the living one is among them. */
async function waiting(directory: string): Promise<number> {
  const epochs = await listEpochs(directory);
  return epochs.filter(({ segments }) => segments > 0).length;
}

async function drainRest(directory: string, receiver: OtlpReceiver): Promise<void> {
  const log = recordingLogger();
  const journal = createJournal({
    directory,
    epoch: EPOCH_INFO,
    env: {},
    log,
    openAfterMs: 1,
    ship: { endpoint: receiver.endpoint },
  });
  await eventually(() => journal.status().epoch !== undefined, 30_000);
  // Thousands of dead epochs take their time, more than a stop gives.
  while ((await waiting(directory)) > 1) await delay(500);
  await journal.stop("shutdown", AbortSignal.timeout(30_000));
  expect(log.lines.filter((line) => line.level === "error")).toEqual([]);
}

function byEpoch(events: readonly ReceivedEvent[]): Map<string, ReceivedEvent[]> {
  const epochs = new Map<string, ReceivedEvent[]>();
  for (const event of events) epochs.set(event.epoch, [...(epochs.get(event.epoch) ?? []), event]);
  return epochs;
}

test.each([
  { processes: 1, rounds: LONG ? 2_000 : 40 },
  { processes: 4, rounds: LONG ? 2_000 : 40 },
])(
  "$processes at once, killed $rounds times",
  { timeout: LONG ? 14_400_000 : 600_000 },
  async ({ processes, rounds }) => {
    const receiver = await startOtlpReceiver();
    const random = randomFrom(7);
    receiver.behaviour = () =>
      random() < 0.1 ? { status: 503, headers: { "retry-after": "0" } } : {};
    const { directory, told } = await killLoop(processes, rounds, receiver);
    // Each epoch takes the number of one that died before its first event, so as many as were killed at once are needed.
    for (let n = 0; n < processes; n++) await drainRest(directory, receiver);
    const events = receiver.events();
    const found = new Map(events.map((event) => [`${event.epoch}/${event.seq}`, event.hash]));
    expect(told.size).toBeGreaterThan(rounds);
    const missing = [...told].filter(([key, hash]) => found.get(key) !== hash);
    expect(missing).toEqual([]);
    const ran = readFileSync(effectsOf(directory), "utf8").trim().split("\n");
    const unrecorded = ran.filter((line) => {
      const [epoch, seq, hash] = line.split(" ");
      return found.get(`${epoch}/${seq}`) !== hash;
    });
    expect(unrecorded).toEqual([]);
    console.log(
      `${processes * rounds} kills, ${processes} at once: ${ran.length} tools ran, 0 without a durable record`,
    );
    const numbers: number[] = [];
    for (const received of byEpoch(events).values()) {
      const sealed = received.map((event) => unseal(Buffer.from(event.text)));
      expect(verifyChain(sealed)).toEqual({ ok: true });
      numbers.push(startOf(sealed).data.epochNumber);
    }
    expect(numbers.toSorted((a, b) => a - b)).toEqual(numbers.map((_, index) => index + 1));
    expect(events.filter((event) => event.kind === "lost")).toEqual([]);
    // One batch in flight per epoch holds for one process; a killed one may leave its last batch behind.
    expect(receiver.violations.filter((what) => !what.startsWith("two batches"))).toEqual([]);
    await receiver.stop();
    rmSync(join(directory, ".."), { recursive: true, force: true });
  },
);
