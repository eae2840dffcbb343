// node test/bench/replay.ts [--entries 1000000] [--json]      what it costs to remember a used proof, beside one ES256 verify
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createReplayGuard, type ReplayGuard } from "@countersign/identity";

const { values: options } = parseArgs({
  options: {
    entries: { type: "string", default: "1000000" },
    json: { type: "boolean", default: false },
  },
});
const entries = Number(options.entries);
const directory = mkdtempSync(join(process.env["BENCH_DISK"] ?? tmpdir(), "countersign-replay-"));
const nowMs = Date.now();
const iat = Math.floor(nowMs / 1000);
const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

/** CPU microseconds of one round: this process does nothing else, and the machine may. */
function cpuUs(times: number, work: (index: number) => void): number {
  const before = process.cpuUsage();
  for (let index = 0; index < times; index += 1) work(index);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / times;
}

function useOnce(guard: ReplayGuard, index: number): void {
  const jti = `0123456789abcdef${index}`;
  const answer = guard.use({ jkt, jti, iatSeconds: iat - (index % 55) }, nowMs);
  if (answer !== "fresh") throw new Error(`bench: proof ${index} is ${answer}`);
}

/** All entries, in tenths: the last of them shows whether cost grows with what is remembered. */
function fill(guard: ReplayGuard): { firstUs: number; lastUs: number; meanUs: number } {
  const tenth = Math.floor(entries / 10);
  const costs = Array.from({ length: 10 }, (_, part) =>
    cpuUs(tenth, (index) => useOnce(guard, part * tenth + index)),
  );
  const meanUs = costs.reduce((sum, cost) => sum + cost, 0) / costs.length;
  // The very first one also compiles.
  return { firstUs: costs[1] as number, lastUs: costs[9] as number, meanUs };
}

function verifyUs(): number {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const data = Buffer.alloc(600, 1);
  const key = { key: privateKey, dsaEncoding: "ieee-p1363" } as const;
  const signature = sign("sha256", data, key);
  const publicHalf = { key: publicKey, dsaEncoding: "ieee-p1363" } as const;
  const once = (): void => void verify("sha256", data, publicHalf, signature);
  cpuUs(500, once);
  return cpuUs(3000, once);
}

/** The two calls to the system that sharing cannot do without: append 32 bytes, read 32 bytes. */
function appendAndReadUs(): number {
  const fd = openSync(join(directory, "floor"), "a+");
  const bytes = new Uint8Array(32);
  let at = 0;
  const once = (): void => {
    writeSync(fd, bytes, 0, 32, null);
    at += readSync(fd, bytes, 0, 32, at);
  };
  cpuUs(2000, once);
  const cost = cpuUs(50_000, once);
  closeSync(fd);
  return cost;
}

try {
  const peers = { verifyUs: verifyUs(), appendAndReadUs: appendAndReadUs() };
  const before = process.memoryUsage().arrayBuffers;
  const memory = createReplayGuard({ maxEntries: entries });
  const inMemory = fill(memory);
  const bytes = process.memoryUsage().arrayBuffers - before;
  const shared = createReplayGuard({ directory: join(directory, "replay"), maxEntries: entries });
  const inDirectory = fill(shared);
  const again = createReplayGuard({
    directory: join(directory, "replay"),
    maxEntries: entries + 1,
  });
  const restartUs = cpuUs(1, () => useOnce(again, entries + (55 - (entries % 55))));
  memory.close();
  shared.close();
  again.close();
  report({ inMemory, inDirectory, peers, bytes, restartUs });
} finally {
  rmSync(directory, { recursive: true, force: true });
}

interface Figures {
  readonly inMemory: ReturnType<typeof fill>;
  readonly inDirectory: ReturnType<typeof fill>;
  readonly peers: { readonly verifyUs: number; readonly appendAndReadUs: number };
  readonly bytes: number;
  readonly restartUs: number;
}

function report(figures: Figures): void {
  const { inMemory, inDirectory, peers, bytes, restartUs } = figures;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ entries, ...figures })}\n`);
    return;
  }
  const row = (name: string, { firstUs, lastUs, meanUs }: Figures["inMemory"]): string =>
    `| ${name} | ${meanUs.toFixed(2)} µs | ${(meanUs / peers.verifyUs).toFixed(3)} × one verify | ${(lastUs / firstUs).toFixed(2)} × the first |`;
  process.stdout.write(
    `${[
      `${entries} proofs. One ES256 verify of node:crypto: ${peers.verifyUs.toFixed(1)} µs; append and read of 32 bytes: ${peers.appendAndReadUs.toFixed(1)} µs.`,
      "",
      "| Where | CPU a proof | ratio | last tenth |",
      "|---|---|---|---|",
      row("in memory", inMemory),
      row("shared directory", inDirectory),
      "",
      `Memory: ${(bytes / 1_048_576).toFixed(1)} MiB. First proof after a restart reads the minute: ${(restartUs / 1000).toFixed(0)} ms CPU.`,
    ].join("\n")}\n`,
  );
}
