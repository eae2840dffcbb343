// The promise: no record, no run. A disk that is slow, then fails, under a real SDK server with a side effect.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { type Gate, createChecker, createGate, loadPolicy } from "@countersign/gate";
import { createIdentity } from "@countersign/identity";
import { createJournal } from "@countersign/journal";
import { type FaultyFs, createFaultyFs } from "@countersign/journal/testing";
import type { CountersignEvent, StartEvent } from "@countersign/model";
import { instrumentServer } from "@countersign/server";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport as LinkV1 } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer as ServerV1 } from "@modelcontextprotocol/sdk/server/mcp.js";
import { Client as ClientV2, InMemoryTransport as LinkV2 } from "@modelcontextprotocol/client";
import { McpServer as ServerV2 } from "@modelcontextprotocol/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import { eventually } from "./fixtures/sdk/harness.ts";
import { readJournal } from "./fixtures/sdk/journal-events.ts";

const POLICY = `
version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
identity: { minimum: asserted, subject: "user:{human.subject}" }
authorizer: { relationships: ["ticket:T-1#read@user:alice"] }
tools:
  read_ticket: { permission: read, resource: "ticket:{arguments.id}" }
default: deny
`;

interface Bench {
  readonly disk: FaultyFs;
  readonly gate: Gate;
  readonly directory: string;
  /** How often the handler ran. */
  effects: number;
  call(): Promise<{ isError?: boolean; content: { text: string }[] }>;
  close(): Promise<void>;
}

function openGateOn(directory: string, disk: FaultyFs): Gate {
  const env = { COUNTERSIGN_ASSERTED_HUMAN: "alice" };
  const { policy } = loadPolicy(POLICY, "policy.yaml", env);
  return createGate({
    policy,
    identity: createIdentity(policy.identity, { env }),
    checker: createChecker(policy.authorizer),
    journal: createJournal({
      directory,
      env,
      fs: disk,
      reopenAfterMs: 1,
      epoch: {
        tenant: policy.tenant,
        mode: policy.mode,
        durability: policy.durability,
        gate: "in_process",
        server: { id: policy.server },
        policy: { digest: policy.digest, default: "deny" },
        runtime: { countersign: "0", node: "0", os: "test" },
        coverage: () => ({ sdks: [] }),
      },
    }),
  });
}

async function openBench(generation: string): Promise<Bench> {
  const directory = mkdtempSync(join(tmpdir(), "no-record-"));
  const disk = createFaultyFs();
  const gate = openGateOn(directory, disk);
  const run = () => {
    bench.effects += 1;
    return { content: [{ type: "text" as const, text: "done" }] };
  };
  const request = { name: "read_ticket", arguments: { id: "T-1" } };
  let call: () => Promise<unknown>;
  if (generation === "v1") {
    const server = new ServerV1({ name: "tickets", version: "1" });
    server.registerTool("read_ticket", { inputSchema: { id: z.string() } }, run);
    instrumentServer(server, { gate });
    const [near, far] = LinkV1.createLinkedPair();
    const client = new ClientV1({ name: "agent", version: "1" });
    await Promise.all([server.connect(far), client.connect(near)]);
    call = () => client.callTool(request);
  } else {
    const server = new ServerV2({ name: "tickets", version: "1" });
    server.registerTool("read_ticket", { inputSchema: z.object({ id: z.string() }) }, run);
    instrumentServer(server, { gate });
    const [near, far] = LinkV2.createLinkedPair();
    const client = new ClientV2({ name: "agent", version: "1" });
    await Promise.all([server.connect(far as never), client.connect(near)]);
    call = () => client.callTool(request);
  }
  const bench: Bench = {
    disk,
    gate,
    directory,
    effects: 0,
    call: call as Bench["call"],
    close: async () => {
      disk.plan = () => undefined;
      await gate.stop("shutdown", AbortSignal.timeout(5_000));
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return bench;
}

/** Enough turns of the event loop for anything that does not wait for the disk. */
async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other is the point
    await turn();
  }
}

describe.each(["v1", "v2"])("SDK %s", (generation) => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await openBench(generation);
    // The first call opens the epoch.
    await bench.call();
  });
  afterEach(() => bench.close());

  const syncs = (): number =>
    bench.disk.calls.filter(({ operation }) => operation === "datasync").length;
  const events = (): CountersignEvent[] => readJournal(bench.directory);
  /** The first call's outcome is on the disk too, so that the next sync is the next decision's. */
  const settled = () =>
    eventually(
      () => events().some(({ type }) => type.endsWith("outcome.v1")),
      () => "no outcome",
    );

  test("while the disk has not answered, the handler has not started", async () => {
    await settled();
    expect(bench.effects).toBe(1);
    const before = syncs();
    const { promise: until, resolve: release } = Promise.withResolvers<void>();
    bench.disk.plan = ({ operation }) => (operation === "datasync" ? { until } : undefined);
    const pending = bench.call();
    await eventually(
      () => syncs() > before,
      () => "nothing is being synced",
    );
    await turns(200);
    expect(bench.effects).toBe(1);
    release();
    expect((await pending).content).toEqual([{ type: "text", text: "done" }]);
    expect(bench.effects).toBe(2);
  });

  test("when the disk fails, the call does not run, and says so without an id", async () => {
    await settled();
    bench.disk.plan = ({ operation }) => (operation === "datasync" ? { errno: "EIO" } : undefined);
    expect(await bench.call()).toMatchObject({
      isError: true,
      content: [{ type: "text", text: "Access could not be recorded, so the call was not run." }],
    });
    await turns(200);
    expect(bench.effects).toBe(1);
  });

  test("what was stopped so is counted in the next epoch, and calls run again", async () => {
    await settled();
    bench.disk.plan = ({ operation }) => (operation === "datasync" ? { errno: "EIO" } : undefined);
    await bench.call();
    bench.disk.plan = () => undefined;
    let answer = await bench.call();
    const deadline = performance.now() + 10_000;
    while (answer.isError === true && performance.now() < deadline) {
      // oxlint-disable-next-line no-await-in-loop -- this is the poll
      answer = await bench.call();
    }
    expect(answer.isError).toBeUndefined();
    expect(bench.effects).toBe(2);
    const starts = events().filter((event): event is StartEvent => event.type.endsWith("start.v1"));
    expect(starts.at(-1)?.data).toMatchObject({
      previous: { end: "journal_fault" },
      auditDenied: expect.any(Number),
    });
  });
});
