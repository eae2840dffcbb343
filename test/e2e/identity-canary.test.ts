// Everything that could be used again is a canary: tokens, keys, codes, proofs. None may be where anybody could read it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signIn, startIdp, type RunningIdp } from "@countersign/demo/idp";
import { type CallProof, createCallProver, execCredentialSource } from "@countersign/identity";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf } from "./fixtures/guard/scene.ts";
import { type Wire, wire } from "./fixtures/guard/wire.ts";
import { eventually } from "./fixtures/sdk/harness.ts";
import { readJournal } from "./fixtures/sdk/journal-events.ts";
import { type Needle, needlesOf, searchBytes, searchDirectory } from "./leak-search.ts";

const root = join(import.meta.dirname, "..", "..");
const bin = join(root, "packages", "cli", "bin", "countersign.js");
const filesystem = join(import.meta.dirname, "..", "node_modules", ".bin", "mcp-server-filesystem");
const SERVER = "urn:mcp:files";
const KEY = "dev.countersign/call-proof";
const never = new AbortController().signal;

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Whatever a process sends to an OTLP endpoint, as bytes. */
interface Sink {
  readonly endpoint: string;
  readonly received: Buffer[];
  close(): void;
}

async function openSink(): Promise<Sink> {
  const received: Buffer[] = [];
  const take = async (request: IncomingMessage): Promise<void> => {
    for await (const chunk of request) received.push(chunk as Buffer);
  };
  const server: Server = createServer((request, response) => {
    received.push(Buffer.from(JSON.stringify(request.headers)));
    // Events are taken over by nobody, so that they stay in the journal as well.
    const status = request.url === "/v1/logs" ? 503 : 200;
    void take(request).then(() =>
      response.writeHead(status, { "content-type": "application/json" }).end("{}"),
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { endpoint: `http://127.0.0.1:${port}`, received, close: () => server.close() };
}

describe("canaries of a login", () => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-canary-"));
  const state = join(directory, "state");
  const reports = join(directory, "reports");
  const files = join(directory, "files");
  const policy = join(directory, "policy.yaml");
  const canaries = new Map<string, string>();
  /** What people and programs could read, beside files. */
  const readable: [string, Buffer][] = [];
  let idp: RunningIdp;
  let sink: Sink;

  beforeAll(async () => {
    for (const made of [state, reports, files]) mkdirSync(made);
    writeFileSync(join(files, "a.txt"), "hello");
    [idp, sink] = [await startIdp(), await openSink()];
    writePolicy();
  });
  afterAll(async () => {
    await idp.stop();
    sink.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function writePolicy(): void {
    const helper = [process.execPath, bin, "credential"].map((part) => JSON.stringify(part));
    writeFileSync(
      policy,
      `version: 1
server: ${SERVER}
tenant: acme
mode: enforce
identity:
  minimum: token_bound
  subject: "user:{human.subject}"
  process: { exec: [${helper.join(", ")}] }
  issuers:
    - { issuer: "${idp.issuer}", clients: [countersign-cli], audience: ${SERVER}, algorithms: [ES256, RS256] }
authorizer:
  relationships:
    - "file:${files.replaceAll(".", "=2E")}/a=2Etxt#read@user:alice"
tools:
  read_text_file: { permission: read, resource: "file:{arguments.path|path}" }
paths: { root: ${JSON.stringify(files)} }
default: deny
`,
    );
  }

  function environment(): Record<string, string> {
    return {
      PATH: process.env["PATH"] ?? "",
      HOME: directory,
      COUNTERSIGN_STATE_DIR: state,
      COUNTERSIGN_DEBUG: "1",
      COUNTERSIGN_OTLP_ENDPOINT: sink.endpoint,
      OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint,
      OTEL_LOG_LEVEL: "debug",
      NODE_OPTIONS: `--report-on-signal --report-uncaught-exception --report-directory=${reports}`,
    };
  }

  function canary(name: string, value: unknown): void {
    if (typeof value !== "string" || value.length < 8) throw new Error(`no canary: ${name}`);
    canaries.set(name, value);
    // Of a JWT each part: a signature alone is what makes it usable, a payload alone names the human.
    const parts = value.split(".");
    if (parts.length === 3) {
      canaries.set(`${name}, payload`, parts[1] as string);
      canaries.set(`${name}, signature`, parts[2] as string);
    }
  }

  async function countersign(...args: string[]): Promise<Ran> {
    const child = spawn(process.execPath, [bin, ...args], { env: environment() });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout, stderr };
  }

  async function login(): Promise<void> {
    const options = [
      "--issuer",
      idp.issuer,
      "--client-id",
      "countersign-cli",
      "--audience",
      SERVER,
    ];
    const child = spawn(
      process.execPath,
      [bin, "login", ...options, "--no-browser", "--no-keychain", "--json"],
      { env: environment() },
    );
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const closed = once(child, "close");
    const line = await eventually(
      () => stdout.split("\n")[1] !== undefined && stdout,
      () => stderr,
    );
    const { url } = JSON.parse(line.split("\n")[0] as string) as { url: string };
    const { redirectUrl } = await signIn({
      issuer: idp.issuer,
      authorizationUrl: url,
      user: "alice",
    });
    canary("authorization code", new URL(redirectUrl as string).searchParams.get("code"));
    expect((await closed)[0]).toBe(0);
    readable.push(["login stdout", Buffer.from(stdout)], ["login stderr", Buffer.from(stderr)]);
  }

  function takeStoredSecrets(): void {
    const stored = JSON.parse(readFileSync(join(state, "login", "login.json"), "utf8")) as {
      key: { jwk: { d: string } };
      idToken: { token: string };
      accessTokens: { token: string }[];
      refreshToken: string;
    };
    canary("login key", stored.key.jwk.d);
    canary("ID token", stored.idToken.token);
    canary("refresh token", stored.refreshToken);
    for (const { token } of stored.accessTokens) canary("access token", token);
  }

  /** A proof such as an instrumented agent sends, and everything that went into it. */
  async function proofFor(params: Record<string, unknown>): Promise<CallProof> {
    const source = execCredentialSource([process.execPath, bin, "credential"], {
      env: environment(),
    });
    const credential = await source.current(SERVER, never);
    canary("call key", credential?.key.d);
    canary("delegation", credential?.delegation);
    const prover = createCallProver(source);
    const proof = await prover.prove({ method: "tools/call", params, audience: SERVER }, never);
    if (proof === undefined) throw new Error("nobody is logged in");
    canary("token in the proof", proof.token);
    canary("proof", proof.proof);
    return proof;
  }

  /** Calls that run, are denied, are replayed and are garbled; the last dies in the middle. */
  async function useTheGuard(): Promise<void> {
    const guard = wire([bin, "guard", "--policy", policy, "--", filesystem, files], environment());
    await guard.initialize();
    const params = { name: "read_text_file", arguments: { path: join(files, "a.txt") } };
    const proof = await proofFor(params);
    const call = (id: number, meta: unknown, more: object = {}): void =>
      guard.say({
        jsonrpc: "2.0",
        id,
        method: "tools/call",
        params: { ...params, ...more, _meta: meta },
      });
    call(2, { [KEY]: proof });
    call(3, { [KEY]: proof });
    call(4, { [KEY]: proof }, { name: proof.token });
    call(5, { [KEY]: { ...proof, proof: `${proof.proof}x` } });
    call(6, { [KEY]: proof.proof });
    call(7, undefined);
    for (const id of [2, 3, 4, 5, 6, 7]) await guard.answer(id);
    lookAtProcesses(guard);
    guard.child.kill("SIGUSR2");
    await eventually(
      () => readdirSync(reports).length > 0,
      () => "no diagnostic report",
    );
    guard.child.stdin.end();
    await guard.exit;
    readable.push(["guard stdout", Buffer.from(guard.lines.join("\n"))]);
    readable.push(["guard stderr", guard.stderr()]);
  }

  function lookAtProcesses({ child }: Wire): void {
    const pid = child.pid as number;
    for (const one of [pid, ...childrenOf(pid)]) {
      for (const file of ["environ", "cmdline"]) {
        readable.push([`${file} of ${one}`, readFileSync(`/proc/${one}/${file}`)]);
      }
    }
  }

  test("are nowhere but in the login store: not in journal, spans, logs, environments, crash reports", async () => {
    await login();
    takeStoredSecrets();
    await useTheGuard();
    for (const command of [
      ["whoami"],
      ["whoami", "--json"],
      ["doctor", "--policy", policy, "--json"],
    ]) {
      const { stdout, stderr } = await countersign(...command);
      readable.push([`${command[0]} output`, Buffer.from(stdout + stderr)]);
    }
    takeStoredSecrets();
    const out = await countersign("logout", "--json");
    readable.push(["logout output", Buffer.from(out.stdout + out.stderr)]);

    const reasons = readJournal(join(state, "journal")).flatMap((event) =>
      event.type === "dev.countersign.decision.v1" ? [event.data.reason] : [],
    );
    // The guard was used in every way that this is about.
    expect(new Set(reasons)).toEqual(
      new Set(["permitted", "identity_replayed", "identity_invalid"]),
    );
    // Spans arrived, and so did events.
    for (const word of ["authorize", "decision"])
      expect(sink.received.some((bytes) => bytes.includes(word))).toBe(true);
    expect(canaries.size).toBeGreaterThan(12);
    const needles: Needle[] = [...canaries].flatMap(([name, value]) => needlesOf(name, value));
    const found = searchDirectory(directory, needles);
    expect(found.files).toBeGreaterThan(4);
    expect(found.leaks).toEqual([]);
    for (const [place, bytes] of [...readable, ...sent()]) {
      expect(bytes.length).toBeGreaterThan(0);
      expect(searchBytes(place, bytes, needles)).toEqual([]);
    }
  });

  function sent(): [string, Buffer][] {
    return sink.received.map((bytes, index) => [`request ${index}`, bytes]);
  }

  test("the search finds what it should: the same canaries, planted", () => {
    const [name, value] = [...canaries].find(([one]) => one === "proof, signature") as [
      string,
      string,
    ];
    const needles = needlesOf(name, value);
    expect(searchBytes("planted", Buffer.from(`x${value}x`), needles)).not.toEqual([]);
  });
});
