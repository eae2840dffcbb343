import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { PLANTED, PLANTED_TEXT } from "@countersign/demo/planted";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { findTool } from "../deploy/found-tool.ts";
import { freePort } from "../free-port.ts";
import { type Leak, needlesOf, searchBytes, searchDirectory } from "./leak-search.ts";

const root = join(import.meta.dirname, "..", "..");
const bin = join(root, "packages", "cli", "bin", "countersign.js");
const DEADLINE_MS = 90_000;
const spicedb = findTool("spicedb");
const needles = [
  ...needlesOf("card", PLANTED.card),
  ...needlesOf("card, digits", PLANTED.card.replaceAll(" ", "")),
  ...needlesOf("e-mail", PLANTED.email),
  ...needlesOf("API key", PLANTED.apiKey),
  // what the logins of the run are made of: tokens and proofs begin like this, keys and passwords hold that
  ...needlesOf("JWT", '{"alg":'),
  ...needlesOf("JWT", '{"typ":'),
  ...needlesOf("key", '"crv":"P-256"'),
  ...needlesOf("password", "alice-demo"),
];

let home: string;
let running: ChildProcess | undefined;

beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "countersign-start-"));
});
afterEach(() => running?.kill("SIGKILL"));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** A bare machine: no spicedb on PATH, no endpoint in the environment, nothing of the person who runs the test. */
const bare = {
  PATH: (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => !existsSync(join(folder, "spicedb")))
    .join(delimiter),
};

interface Started {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

function start(args: readonly string[], env: Record<string, string> = {}): Started {
  const temporary = join(home, "tmp");
  const child = spawn(process.execPath, [bin, "start", ...args], {
    cwd: home,
    env: { ...bare, HOME: home, TMPDIR: existsSync(temporary) ? temporary : home, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running = child;
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, exited, stdout: () => stdout, stderr: () => stderr };
}

async function until(condition: () => boolean, what: () => string): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`never came: ${what()}`);
    await delay(50);
  }
}

/** Process ids below one, by what /proc says. */
function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // gone meanwhile
    }
  }
  const below = (of: number): number[] =>
    [...parents]
      .filter(([, parent]) => parent === of)
      .flatMap(([child]) => [child, ...below(child)]);
  return below(pid);
}

function expectNoLeaks(leaks: readonly Leak[]): void {
  expect(leaks).toEqual([]);
}

test(
  "start --once on a bare machine: every verdict as expected, and the planted secrets nowhere",
  async () => {
    const state = join(home, "once");
    const { exited, stdout, stderr } = start(["--once", "--state", state]);
    expect({ code: await exited, stderr: stderr() }).toMatchObject({ code: 0 });
    expect(stdout()).toMatch(/^allow\s+11$/m);
    expect(stdout()).toMatch(/^deny\s+9$/m);
    expect(stdout()).toMatch(/^unmapped\s+3$/m);
    expect(stdout()).toMatch(/^errors\s+0$/m);
    expect(stdout()).toMatch(/^events archived\s+[1-9]\d+$/m);
    expect(stdout()).toMatch(
      /alice \(call_bound\).*tools\/call read_ticket.*ticket:T-1001.*granted.*permitted +by http:\/\/127\.0\.0\.1:\d+, key [\w-]{8}$/m,
    );
    expect(stdout()).toMatch(/alice \(token_bound\).*tools\/call read_text_file.*granted/);
    expect(stdout()).toMatch(
      /bob \(call_bound\).*tools\/call read_ticket.*ticket:T-2001.*denied.*forbidden/,
    );
    expect(stdout()).toMatch(/tools\/call move_ticket.*\+1.*granted/);
    expect(stdout()).toMatch(/tools\/call export_tickets.*denied.*unmapped/);
    expect(stdout()).toContain(`Kept in ${state}`);
    expect(stdout()).not.toContain("asserted");
    expect(stderr()).toMatch(/logged in at http:\/\/127\.0\.0\.1:\d+/);
    expect(existsSync(join(state, "machines", "alice", "journal"))).toBe(true);
    expect(existsSync(join(state, "machines", "alice", "login"))).toBe(false);

    const { files, leaks } = searchDirectory(home, needles);
    expect(files).toBeGreaterThan(5);
    expectNoLeaks([
      ...leaks,
      ...searchBytes("stdout", Buffer.from(stdout()), needles),
      ...searchBytes("stderr", Buffer.from(stderr()), needles),
    ]);
    // and the search would have found them
    writeFileSync(join(state, "planted"), Buffer.from(PLANTED_TEXT).toString("base64"));
    expect(searchDirectory(home, needles).leaks).not.toEqual([]);
    rmSync(join(state, "planted"));
  },
  DEADLINE_MS,
);

test(
  "start stays up; page, API, stream and spans hold no planted secret; Ctrl-C leaves no process behind",
  async () => {
    const state = join(home, "up");
    const { child, exited, stdout, stderr } = start(["--json", "--state", state]);
    const lines = (): Record<string, unknown>[] =>
      stdout()
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    await until(
      () => lines().some(({ type }) => type === "page") || child.exitCode !== null,
      () => stdout() + stderr(),
    );
    const summary = lines().find(({ type }) => type === "summary");
    expect({ ...summary, stderr: stderr() }).toMatchObject({
      allow: 11,
      deny: 9,
      unmapped: 3,
      errors: 0,
      ok: true,
      wrong: [],
    });
    const page = new URL(lines().find(({ type }) => type === "page")?.["url"] as string);
    expectNoLeaks(await searchPage(page));
    expect(child.exitCode).toBe(null);

    const tail = spawnSync(
      process.execPath,
      [bin, "tail", "--no-follow", "--lines", "200", "--url", page.href],
      {
        encoding: "utf8",
      },
    );
    expect(tail).toMatchObject({ status: 0, stderr: "" });
    expect(tail.stdout.trimEnd().split("\n")).toHaveLength(24); // 20 calls, 4 lists
    expectNoLeaks(searchBytes("tail", Buffer.from(tail.stdout), needles));

    const children = descendants(child.pid as number);
    expect(children.length).toBeGreaterThan(0);
    child.kill("SIGINT");
    expect({ code: await exited, stderr: stderr() }).toMatchObject({ code: 0 });
    expect(children.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    await expect(fetch(page)).rejects.toThrow("fetch failed");
    expectNoLeaks([
      ...searchDirectory(home, needles).leaks,
      ...searchBytes("stdout", Buffer.from(stdout()), needles),
      ...searchBytes("stderr", Buffer.from(stderr()), needles),
    ]);
  },
  DEADLINE_MS,
);

/** Everything that the console answers about this run: page, lists, every decision, every trace, the stream. */
async function searchPage(page: URL): Promise<Leak[]> {
  const headers = { authorization: `Bearer ${page.searchParams.get("token")}` };
  const leaks: Leak[] = [];
  const read = async (path: string): Promise<string> => {
    const response = await fetch(new URL(path, page), { headers });
    expect({ path, status: response.status }).toEqual({ path, status: 200 });
    const body = Buffer.from(await response.arrayBuffer());
    leaks.push(...searchBytes(path, body, needles));
    return body.toString("utf8");
  };
  await read("/");
  await read("/api/stats");
  const { rows } = JSON.parse(await read("/api/decisions?limit=200")) as {
    rows: { id: string; traceId?: string }[];
  };
  expect(rows.length).toBeGreaterThanOrEqual(20);
  for (const { id } of rows) await read(`/api/decisions/${id}`);
  const traces = new Set(rows.flatMap(({ traceId }) => traceId ?? []));
  expect(traces.size).toBeGreaterThanOrEqual(20);
  let spans = 0;
  for (const id of traces) {
    spans += (JSON.parse(await read(`/api/traces/${id}`)) as { spans: unknown[] }).spans.length;
  }
  // CLIENT, SERVER and authorize of every call at least: what was searched is not an empty list
  expect(spans).toBeGreaterThanOrEqual(60);
  return [...leaks, ...searchBytes("/api/stream", await firstBytes(page, headers), needles)];
}

async function firstBytes(page: URL, headers: Record<string, string>): Promise<Buffer> {
  const stop = new AbortController();
  const response = await fetch(new URL("/api/stream?from=0", page), {
    headers,
    signal: stop.signal,
  });
  let text = Buffer.alloc(0);
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text = Buffer.concat([text, chunk]);
    if (text.includes("event: decisions") && text.at(-1) === 10) break;
  }
  stop.abort();
  return text;
}

test(
  "a SpiceDB that does not answer: 69, and where it should have been",
  async () => {
    const { exited, stderr } = start(["--once", "--state", join(home, "refused")], {
      COUNTERSIGN_SPICEDB_ENDPOINT: "127.0.0.1:9",
      COUNTERSIGN_SPICEDB_TOKEN: "hunter2-token",
    });
    expect(await exited).toBe(69);
    expect(stderr()).toContain("127.0.0.1:9");
    expect(stderr()).not.toContain("hunter2");
  },
  DEADLINE_MS,
);

test.skipIf(spicedb === undefined)(
  "a spicedb on PATH is used, and the verdicts are the same",
  async () => {
    const { exited, stdout, stderr } = start(
      ["--once", "--json", "--state", join(home, "binary")],
      {
        PATH: `${dirname(spicedb as string)}${delimiter}${bare.PATH}`,
      },
    );
    expect({ code: await exited, stderr: stderr() }).toMatchObject({ code: 0 });
    expect(stderr()).toContain("the spicedb on PATH");
    expect(stdout()).toContain('"type":"summary","allow":11,"deny":9,"unmapped":3,"errors":0');
  },
  DEADLINE_MS,
);

test.skipIf(spicedb === undefined)(
  "somebody's SpiceDB, with a schema of its own, is left alone: 69",
  async () => {
    const endpoint = `127.0.0.1:${await freePort()}`;
    const bootstrap = join(root, "deploy", "spicedb", "bootstrap.yaml");
    const server = spawn(
      spicedb as string,
      [
        "serve",
        `--grpc-addr=${endpoint}`,
        `--datastore-bootstrap-files=${bootstrap}`,
        "--telemetry-endpoint=",
        "--skip-release-check",
        "--metrics-enabled=false",
      ],
      { stdio: "ignore", env: { ...process.env, SPICEDB_GRPC_PRESHARED_KEY: "k" } },
    );
    try {
      const { exited, stderr } = start(["--once", "--state", join(home, "somebody")], {
        COUNTERSIGN_SPICEDB_ENDPOINT: endpoint,
        COUNTERSIGN_SPICEDB_TOKEN: "k",
      });
      expect(await exited).toBe(69);
      expect(stderr()).toContain("holds another schema");
    } finally {
      server.kill();
    }
  },
  DEADLINE_MS,
);
