import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Logger, silentLogger } from "@countersign/model";
import { createReplayGuard, type ReplayGuard, type ReplayGuardOptions } from "./replay.ts";

const MINUTE_MS = 60_000;
/** Half a minute into a bucket. */
const NOW = Math.floor(1_800_000_000_000 / MINUTE_MS) * MINUTE_MS + 30_000;
const NOW_S = NOW / 1000;

let directory: string;
let lines: string[];
const guards: ReplayGuard[] = [];
const children: ChildProcess[] = [];

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), "replay-")), "replay");
  lines = [];
});

afterEach(() => {
  for (const guard of guards.splice(0)) guard.close();
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(join(directory, ".."), { recursive: true, force: true });
});

const note: Logger["error"] = (message, fields) => {
  lines.push(`${message} ${JSON.stringify(fields)}`);
};

function make(options: Partial<ReplayGuardOptions> = {}): ReplayGuard {
  const guard = createReplayGuard({ log: { ...silentLogger, error: note }, ...options });
  guards.push(guard);
  return guard;
}

const shared = (options: Partial<ReplayGuardOptions> = {}): ReplayGuard =>
  make({ directory, ...options });

function use(
  guard: ReplayGuard,
  jti: string,
  { nowMs = NOW, iatSeconds = NOW_S }: { nowMs?: number; iatSeconds?: number } = {},
): string {
  return guard.use({ jkt: "key", jti, iatSeconds }, nowMs);
}

/** The file of the bucket that `iatSeconds` belongs to. */
const fileOf = (iatSeconds = NOW_S): string =>
  join(directory, `${Math.floor(iatSeconds / 60)}.replay`);

async function start(from: number, to: number, go: string): Promise<() => Promise<string>> {
  const program = fileURLToPath(new URL("./testing/replay-child.ts", import.meta.url));
  const child = spawn(
    process.execPath,
    ["--conditions=@countersign/source", program, directory, `${NOW}`, `${from}`, `${to}`, go],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  children.push(child);
  const output = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const next = output[Symbol.asyncIterator]();
  expect((await next.next()).value).toBe("ready");
  return async () => {
    const { value } = await next.next();
    const over = once(child, "exit");
    child.kill("SIGKILL");
    await over;
    return value as string;
  };
}

function flipBit(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] as number) ^ 1;
  writeFileSync(file, bytes);
}

function prepare(): void {
  const guard = shared();
  for (const jti of ["a", "b", "c"]) {
    use(guard, jti);
    use(guard, jti, { iatSeconds: NOW_S - 60 });
  }
}

describe.each([
  ["in memory", () => make()],
  ["in a directory", () => shared()],
])("%s", (_, guardOf) => {
  test("a proof is fresh once; another key, number or minute is another proof", () => {
    const guard = guardOf();
    expect(use(guard, "a")).toBe("fresh");
    expect(use(guard, "a")).toBe("replayed");
    expect(use(guard, "b")).toBe("fresh");
    expect(guard.use({ jkt: "other", jti: "a", iatSeconds: NOW_S }, NOW)).toBe("fresh");
    expect(use(guard, "a", { iatSeconds: NOW_S - 60 })).toBe("fresh");
    expect(lines).toEqual([]);
  });

  test.each([0, 29, 30])(
    "it is remembered as long as it could be accepted, and refused afterwards (iat %s s on)",
    (ahead) => {
      const guard = guardOf();
      const iatSeconds = NOW_S + ahead;
      expect(use(guard, "a", { iatSeconds })).toBe("fresh");
      for (let second = 0; second <= ahead + 60; second += 1) {
        const nowMs = NOW + second * 1000;
        expect(use(guard, "a", { nowMs, iatSeconds })).toBe("replayed");
        // A new minute begins late in it: what is forgotten then must not be what is still good.
        if (second % 20 !== 19) continue;
        expect(use(guard, `s${second}`, { nowMs, iatSeconds: nowMs / 1000 })).toBe("fresh");
      }
      expect(use(guard, "a", { nowMs: NOW + (ahead + 62) * 1000, iatSeconds })).toBe("full");
    },
  );

  test("a proof from ahead of the clock is remembered until its own end", () => {
    const guard = guardOf();
    const iatSeconds = NOW_S + 60;
    expect(use(guard, "a", { iatSeconds })).toBe("fresh");
    for (let second = 0; second <= 120; second += 10) {
      expect(use(guard, "a", { iatSeconds, nowMs: NOW + second * 1000 })).toBe("replayed");
    }
  });

  test("when the clock goes back, what was forgotten is refused and what is known is replayed", () => {
    const guard = guardOf();
    expect(use(guard, "a")).toBe("fresh");
    const later = NOW + 10 * MINUTE_MS;
    expect(use(guard, "b", { nowMs: later, iatSeconds: later / 1000 })).toBe("fresh");
    expect(use(guard, "a")).toBe("full");
    expect(use(guard, "never-seen")).toBe("full");
    expect(use(guard, "b", { nowMs: later - 30_000, iatSeconds: later / 1000 })).toBe("replayed");
    expect(use(guard, "c", { nowMs: later - 30_000, iatSeconds: later / 1000 - 30 })).toBe("fresh");
    expect(lines).toEqual([expect.stringContaining("the clock went back")]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 1.5, -1, NOW_S + 62, 2 ** 60])(
    "an iat of %s cannot be remembered",
    (iatSeconds) => {
      expect(use(guardOf(), "a", { iatSeconds })).toBe("full");
    },
  );

  test("after close everything is full", () => {
    const guard = guardOf();
    use(guard, "a");
    guard.close();
    guard.close();
    expect(use(guard, "b")).toBe("full");
  });
});

describe.each([
  ["in memory", (options: Partial<ReplayGuardOptions>) => make(options)],
  ["in a directory", (options: Partial<ReplayGuardOptions>) => shared(options)],
])("full %s", (_, guardOf) => {
  test("at the limit nothing new is accepted, and nothing is forgotten, until a minute is over", () => {
    const guard = guardOf({ maxEntries: 100 });
    for (let index = 0; index < 100; index += 1) expect(use(guard, `${index}`)).toBe("fresh");
    expect(use(guard, "one-more")).toBe("full");
    expect(use(guard, "another")).toBe("full");
    expect(use(guard, "0")).toBe("replayed");
    expect(lines).toEqual([expect.stringContaining("too many proofs at once")]);
    const nowMs = NOW + 2 * MINUTE_MS;
    expect(use(guard, "one-more", { nowMs, iatSeconds: nowMs / 1000 })).toBe("fresh");
  });
});

describe("several processes", () => {
  test("race for the same 10,000 proofs: each is accepted exactly once, also after both were killed", async () => {
    const go = join(directory, "..", "go");
    const racers = await Promise.all([start(0, 10_000, go), start(0, 10_000, go)]);
    writeFileSync(go, "");
    const [one = "", two = ""] = await Promise.all(racers.map((result) => result()));
    const pairs = Array.from(one, (letter, index) => letter + (two[index] ?? ""));
    expect(pairs).toHaveLength(10_000);
    expect(pairs.filter((pair) => pair !== "fr" && pair !== "rf")).toEqual([]);

    const afterwards = await start(0, 10_001, go);
    expect(await afterwards()).toBe(`${"r".repeat(10_000)}f`);
  });

  test("the records of those who came too late count once", () => {
    const guard = shared({ maxEntries: 3 });
    expect(use(guard, "a")).toBe("fresh");
    expect(use(shared(), "a")).toBe("replayed");
    expect(use(shared(), "a")).toBe("replayed");
    expect([use(guard, "b"), use(guard, "c"), use(guard, "d")]).toEqual(["fresh", "fresh", "full"]);
  });

  test("a file that grows beyond all use is not read any further", () => {
    const guard = shared({ maxEntries: 3 });
    expect(use(guard, "a")).toBe("fresh");
    for (let other = 0; other < 6; other += 1) expect(use(shared(), "a")).toBe("replayed");
    expect(use(guard, "b")).toBe("full");
    expect(lines).toEqual([expect.stringContaining("the file holds too much")]);
  });

  test("guards of one process share the directory like processes do", () => {
    const [one, two] = [shared(), shared()];
    expect(use(one, "a")).toBe("fresh");
    expect(use(two, "a")).toBe("replayed");
    expect(use(two, "b")).toBe("fresh");
    expect(use(one, "b")).toBe("replayed");
    expect(use(one, "c")).toBe("fresh");
  });
});

describe("files", () => {
  test("are private, one for each minute of issue, and deleted when nobody can need them", () => {
    const guard = shared();
    use(guard, "a");
    use(guard, "b", { iatSeconds: NOW_S - 40 });
    expect(readdirSync(directory).toSorted()).toEqual(
      [fileOf(NOW_S - 40), fileOf()].map((path) => path.slice(directory.length + 1)),
    );
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(fileOf()).mode & 0o777).toBe(0o600);
    expect(statSync(fileOf()).size).toBe(32);

    writeFileSync(join(directory, "notes.txt"), "not ours");
    const nowMs = NOW + 10 * MINUTE_MS;
    use(guard, "c", { nowMs, iatSeconds: nowMs / 1000 });
    expect(readdirSync(directory).toSorted()).toEqual(
      [`${Math.floor(nowMs / MINUTE_MS)}.replay`, "notes.txt"].toSorted(),
    );
  });

  test("stay while a process that was kept waiting may still need them", () => {
    use(shared(), "a");
    const nowMs = NOW + 2 * MINUTE_MS;
    const other = shared();
    expect(use(other, "b", { nowMs, iatSeconds: nowMs / 1000 })).toBe("fresh");
    expect(existsSync(fileOf())).toBe(true);
    expect(use(shared(), "a")).toBe("replayed");
  });

  test("hold no key and no number of a proof, only 128 bits of their hash", () => {
    const guard = shared();
    guard.use({ jkt: "THUMBPRINT", jti: "NUMBER", iatSeconds: NOW_S }, NOW);
    expect(readFileSync(fileOf()).toString("latin1")).not.toMatch(/THUMB|NUMBER/);
  });

  test("larger than one read are read to the end", () => {
    const guard = shared();
    for (let index = 0; index < 5000; index += 1) expect(use(guard, `${index}`)).toBe("fresh");
    expect(use(shared(), "4999")).toBe("replayed");
    expect(use(shared(), "5000")).toBe("fresh");
  });
});

describe("what cannot be trusted is full, with one line", () => {
  const damages: readonly (readonly [string, () => void, string])[] = [
    ["garbage", () => writeFileSync(fileOf(), Buffer.alloc(64, 7)), "a record is damaged"],
    ["zeros", () => writeFileSync(fileOf(), Buffer.alloc(64)), "a record is damaged"],
    ["half a record in front", () => writeFileSync(fileOf(), "half"), "a record is damaged"],
    ["half a record behind", () => truncateSync(fileOf(), 40), "a record is damaged"],
    ["one flipped bit", () => flipBit(fileOf(), 37), "a record is damaged"],
    [
      "the file of another minute",
      () => writeFileSync(fileOf(), readFileSync(fileOf(NOW_S - 60))),
      "a record is damaged",
    ],
    ["too much", () => truncateSync(fileOf(), 64_000_032), "the file holds too much"],
    ["a directory", () => (rmSync(fileOf()), mkdirSync(fileOf())), "EISDIR"],
    ["a link", () => (rmSync(fileOf()), symlinkSync("/dev/null", fileOf())), "ELOOP"],
    ["a file for everybody", () => chmodSync(fileOf(), 0o644), "the file is not private"],
    [
      "a directory for everybody",
      () => chmodSync(directory, 0o755),
      "the directory is not private",
    ],
    [
      "a link to a directory",
      () => (rmSync(directory, { recursive: true }), symlinkSync(tmpdir(), directory)),
      "the directory is no directory",
    ],
    [
      "a file in its place",
      () => (rmSync(directory, { recursive: true }), writeFileSync(directory, "")),
      "EEXIST",
    ],
  ];

  test.each(damages)("%s", (_, damage, cause) => {
    prepare();
    damage();
    const guard = shared();
    expect(use(guard, "a")).toBe("full");
    expect(use(guard, "new")).toBe("full");
    expect(use(guard, "new", { nowMs: NOW + 2000 })).toBe("full");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(cause);
    expect(lines[0]).not.toContain("jti");
  });

  test("damage under a running process is noticed with the next proof", () => {
    const guard = shared();
    expect(use(guard, "a")).toBe("fresh");
    appendFileSync(fileOf(), "x");
    expect(use(guard, "b")).toBe("full");
    expect(use(guard, "a")).toBe("replayed");
    const nowMs = NOW + 2 * MINUTE_MS;
    expect(use(guard, "c", { nowMs, iatSeconds: nowMs / 1000 })).toBe("fresh");
  });

  test("a file that is deleted under a running process is noticed", () => {
    const guard = shared();
    expect(use(guard, "a")).toBe("fresh");
    rmSync(directory, { recursive: true });
    expect(use(guard, "b")).toBe("full");
    expect(lines[0]).toContain("the file was deleted");
  });

  test.runIf(process.getuid?.() === 0)("another owner's file or directory", () => {
    prepare();
    chownSync(fileOf(), 12_345, 12_345);
    expect(use(shared(), "a")).toBe("full");
    expect(lines[0]).toContain("the file is not private");
    chownSync(directory, 12_345, 12_345);
    expect(use(shared(), "a", { iatSeconds: NOW_S - 60 })).toBe("full");
    expect(lines[1]).toContain("the directory is not private");
  });

  test.runIf(process.platform === "linux")("a disk without room", () => {
    // By a limit of the process: every write to a file fails.
    const script = `ulimit -f 0; trap '' XFSZ; exec "$0" "$@"`;
    const program = fileURLToPath(new URL("./testing/replay-child.ts", import.meta.url));
    const go = join(directory, "..", "go");
    writeFileSync(go, "");
    const args = ["--conditions=@countersign/source", program, directory, `${NOW}`, "0", "3", go];
    const child = spawn("sh", ["-c", script, process.execPath, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.push(child);
    const output = createInterface({ input: child.stdout });
    const seen: string[] = [];
    return new Promise<void>((resolve, reject) => {
      child.on("exit", () => reject(new Error("the process ended")));
      output.on("line", (line) => {
        seen.push(line);
        if (seen.length < 2) return;
        try {
          expect(seen).toEqual(["ready", "xxx"]);
          resolve();
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  });
});
