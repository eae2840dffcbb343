/**
 * Gives the demonstration its SpiceDB, in this order: the endpoint in COUNTERSIGN_SPICEDB_ENDPOINT, a `spicedb` on PATH, the
 * npm-packaged library. Writes schema and relationships, prints one JSON line, and lives until its standard input ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { seed, waitForSpicedb } from "./seed.ts";

interface Running {
  readonly engine: "endpoint" | "binary" | "embedded";
  readonly endpoint: string;
  readonly stop: () => void;
}

/** Ours needs a moment to start; one that is there already answers. */
const READY_TIMEOUT_MS = { endpoint: 5_000, binary: 20_000, embedded: 20_000 } as const;
const token = process.env["COUNTERSIGN_SPICEDB_TOKEN"] ?? "";
const files = process.env["DEMO_FILES"] ?? "/srv/files";

async function external(endpoint: string): Promise<Running> {
  return { engine: "endpoint", endpoint, stop: () => {} };
}

/** Undefined when there is no `spicedb` on PATH. */
async function binary(): Promise<Running | undefined> {
  const port = await freePort();
  const endpoint = `127.0.0.1:${port}`;
  const child = spawn("spicedb", serveArguments(endpoint), {
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, SPICEDB_GRPC_PRESHARED_KEY: token }, // not an argument: `ps` shows those
  });
  const started = await new Promise<boolean>((resolve) => {
    child.once("spawn", () => resolve(true));
    child.once("error", () => resolve(false));
  });
  if (!started) return undefined;
  child.once("exit", (code) =>
    fail(`the spicedb process ended early (exit ${code ?? "by signal"})`),
  );
  return { engine: "binary", endpoint, stop: () => end(child) };
}

function serveArguments(endpoint: string): string[] {
  return [
    "serve",
    "--grpc-addr",
    endpoint,
    "--datastore-engine",
    "memory",
    "--telemetry-endpoint=",
    "--skip-release-check",
    "--metrics-enabled=false",
    "--log-level",
    "error",
  ];
}

async function embedded(): Promise<Running> {
  const { startShim } = await import("./spicedb-shim.ts");
  const shim = await startShim(token, 0);
  return { engine: "embedded", endpoint: shim.address, stop: () => shim.stop() };
}

function end(child: ChildProcess): void {
  child.removeAllListeners("exit");
  child.kill("SIGTERM");
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function fail(message: string): never {
  console.error(`spicedb: ${message}`);
  process.exit(69);
}

async function main(): Promise<void> {
  if (token === "") fail("COUNTERSIGN_SPICEDB_TOKEN is not set");
  const endpoint = process.env["COUNTERSIGN_SPICEDB_ENDPOINT"];
  const running = endpoint ? await external(endpoint) : ((await binary()) ?? (await embedded()));
  const server = { endpoint: running.endpoint, token };
  const finish = (): void => {
    running.stop();
    process.exit(0);
  };
  process.stdin.resume().once("end", finish);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, finish);
  try {
    await waitForSpicedb(server, READY_TIMEOUT_MS[running.engine]);
    await seed(server, files);
  } catch (error) {
    running.stop();
    fail(error instanceof Error ? error.message : "did not start");
  }
  console.log(JSON.stringify({ engine: running.engine, endpoint: running.endpoint }));
}

await main();
