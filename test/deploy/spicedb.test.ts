import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { deadlineInterceptor, v1 } from "@authzed/authzed-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findTool } from "./found-tool.ts";

const file = join(import.meta.dirname, "..", "..", "deploy", "spicedb", "bootstrap.yaml");
const spicedb = findTool("spicedb");
const KEY = "a-key-for-this-test";
const READY_MS = 20_000;
const HAS = 2;

let child: ChildProcess | undefined;
let client: v1.ZedClientInterface;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

beforeAll(async () => {
  if (spicedb === undefined) return;
  const endpoint = `127.0.0.1:${await freePort()}`;
  child = spawn(
    spicedb,
    [
      "serve",
      `--grpc-addr=${endpoint}`,
      "--datastore-engine=memory",
      `--datastore-bootstrap-files=${file}`,
      "--telemetry-endpoint=",
      "--skip-release-check",
      "--metrics-enabled=false",
      "--log-level=error",
    ],
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, SPICEDB_GRPC_PRESHARED_KEY: KEY },
    },
  );
  client = v1.NewClient(
    KEY,
    endpoint,
    v1.ClientSecurity.INSECURE_PLAINTEXT_CREDENTIALS,
    undefined,
    {
      interceptors: [deadlineInterceptor(2_000)],
    },
  );
  const until = Date.now() + READY_MS;
  while (!(await client.promises.readSchema(v1.ReadSchemaRequest.create({})).catch(() => false))) {
    if (Date.now() > until || child.exitCode !== null)
      throw new Error("spicedb did not take the bootstrap file");
    await delay(100);
  }
});
afterAll(() => {
  client?.close();
  child?.kill();
});

async function may(
  subject: string,
  permission: string,
  [type, id]: [string, string],
  amount?: number,
): Promise<boolean> {
  const answer = await client.promises.checkPermission(
    v1.CheckPermissionRequest.create({
      consistency: { requirement: { oneofKind: "fullyConsistent", fullyConsistent: true } },
      resource: { objectType: type, objectId: id },
      permission,
      subject: { object: { objectType: "user", objectId: subject } },
      ...(amount === undefined ? {} : { context: v1.PbStruct.fromJson({ amount }) }),
    }),
  );
  return (answer.permissionship as number) === HAS;
}

test.skipIf(spicedb === undefined)("the bootstrap file means what it says", async () => {
  expect(await may("alice", "close", ["ticket", "T-1001"])).toBe(true);
  expect(await may("bob=40example=2Ecom", "read", ["ticket", "T-1001"])).toBe(true);
  expect(await may("bob=40example=2Ecom", "close", ["ticket", "T-1001"])).toBe(false);
  expect(await may("alice", "add_ticket", ["queue", "eu/billing"])).toBe(true);
  expect(await may("alice", "refund", ["ticket", "T-1001"], 100)).toBe(true);
  expect(await may("alice", "refund", ["ticket", "T-1001"], 101)).toBe(false);
});
