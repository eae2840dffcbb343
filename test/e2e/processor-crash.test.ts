// kill -9 after a 200 loses nothing: the real journal ships to a real processor that is killed again and again.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createJournal, type EpochInfo } from "@countersign/journal";
import {
  ATTR_EVENT_HASH,
  draftDecision,
  eventTime,
  GENESIS,
  seal,
  draftOutcome,
  kindOf,
  type SealedEvent,
  silentLogger,
  uuidv7,
} from "@countersign/model";
import { expect, test } from "vitest";
import { archivedEvents } from "./archived-events.ts";
import { embeddedHome, type Running, startProcessor } from "./processor-process.ts";
import { freePort } from "../free-port.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const EPOCH: EpochInfo = {
  tenant: "acme",
  mode: "enforce",
  durability: "journal",
  gate: "in_process",
  server: { id: "urn:mcp:tickets" },
  policy: { digest: DIGEST, default: "deny" },
  runtime: { countersign: "0.1.0", node: process.versions.node, os: process.platform },
  coverage: () => ({ sdks: [] }),
};

function decision(id: string): ReturnType<typeof draftDecision> {
  return draftDecision({
    id,
    nameKnown: true,
    tenant: "acme",
    mode: "enforce",
    decision: "allow",
    reason: "permitted",
    effect: "run",
    call: { method: "tools/call", name: "read_ticket", transport: "stdio", gate: "in_process" },
    server: { id: "urn:mcp:tickets" },
    policy: { digest: DIGEST },
    durationUs: 100,
  });
}

function outcome(decisionId: string): ReturnType<typeof draftOutcome> {
  return draftOutcome({
    id: uuidv7(),
    tenant: "acme",
    decisionId,
    status: "completed",
    call: { method: "tools/call", name: "read_ticket" },
    durationUs: 50,
  });
}

const ROUNDS = 6;
const CALLS = 150;

test(
  "a processor that is killed between acknowledgements loses no event and archives none twice",
  { timeout: 120_000 },
  async () => {
    const port = await freePort();
    using home = embeddedHome(port);
    const journal = createJournal({
      directory: join(home.directory, "journal"),
      emitter: "tickets-crash",
      epoch: EPOCH,
      ship: { endpoint: `http://127.0.0.1:${port}` },
      log: silentLogger,
    });
    const written: SealedEvent[] = [];
    let processor: Running | undefined;
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        processor = await startProcessor(home.config);
        const appends: Promise<SealedEvent>[] = [];
        for (let call = 0; call < CALLS; call += 1) {
          const id = uuidv7();
          appends.push(journal.append(decision(id)), journal.append(outcome(id)));
          if (call % 10 === 0) await delay(1);
        }
        const events = await Promise.all(appends);
        written.push(...events);
        // Something of this round is acknowledged, much is under way: now it dies.
        await journal.acknowledged(events[round * 20] as SealedEvent, 10_000);
        await processor.end("SIGKILL");
      }
      processor = await startProcessor(home.config);
      expect(await journal.acknowledged(written.at(-1) as SealedEvent, 30_000)).toBe(true);
      await journal.stop("shutdown", AbortSignal.timeout(10_000));
      const siem = (): number => new Set(home.lines("out").map(uidOf)).size;
      await expect.poll(siem, { timeout: 20_000 }).toBe(ROUNDS * CALLS);
      expect(await processor.end("SIGTERM")).toBe(0);
    } finally {
      processor?.child.kill("SIGKILL");
      await journal.stop("shutdown", AbortSignal.timeout(1000));
    }
    const archived = await archivedEvents(join(home.directory, "archive"));
    const own = archived.filter(({ event }) =>
      ["decision", "outcome"].includes(kindOf(event.type) ?? ""),
    );
    expect(own.map(({ hash }) => hash).toSorted()).toEqual(
      written.map(({ hash }) => hash).toSorted(),
    );
    const decisions = written.filter(({ event }) => kindOf(event.type) === "decision");
    const delivered = new Set(home.lines("out").map(uidOf));
    expect([...delivered].toSorted()).toEqual(decisions.map(({ event }) => event.id).toSorted());
    expect(home.lines("dead-letter")).toEqual([]);
  },
);

const WORKERS = 6;
const KILLS = 8;
const ACKNOWLEDGED_BEFORE_KILL = 25;

test(
  "what was answered 200 in the instant of a kill is there, though nobody sends it again",
  { timeout: 120_000 },
  async () => {
    const port = await freePort();
    using home = embeddedHome(port);
    const acknowledged: SealedEvent[] = [];
    let processor: Running | undefined;
    try {
      for (let round = 0; round < KILLS; round += 1) {
        const running = await startProcessor(home.config);
        processor = running;
        const goal = acknowledged.length + ACKNOWLEDGED_BEFORE_KILL + round;
        await Promise.all(
          Array.from({ length: WORKERS }, async () => {
            // The answer that reaches the goal is the last thing that the process does.
            while (await postNew(port, acknowledged)) {
              if (acknowledged.length >= goal) running.child.kill("SIGKILL");
            }
          }),
        );
        await running.end("SIGKILL");
      }
      processor = await startProcessor(home.config);
      const undelivered = (): number => {
        const delivered = new Set(home.lines("out").map(uidOf));
        return acknowledged.filter(({ event }) => !delivered.has(event.id)).length;
      };
      await expect.poll(undelivered, { timeout: 20_000 }).toBe(0);
      expect(await processor.end("SIGTERM")).toBe(0);
    } finally {
      processor?.child.kill("SIGKILL");
    }
    const archived = (await archivedEvents(join(home.directory, "archive"))).map(
      ({ hash }) => hash,
    );
    const stored = new Set(archived);
    expect(archived).toHaveLength(stored.size);
    expect(acknowledged.filter(({ hash }) => !stored.has(hash))).toEqual([]);
  },
);

/** Posts a new event; true when it was answered 200. False: the processor is gone. */
async function postNew(port: number, acknowledged: SealedEvent[]): Promise<boolean> {
  const chain = {
    emitter: "tickets-crash",
    epoch: randomBytes(16).toString("hex"),
    seq: 0,
    prev: GENESIS,
  };
  const event = seal(decision(uuidv7()), chain, eventTime(Date.now()));
  const record = {
    eventName: "countersign.decision",
    body: { stringValue: Buffer.from(event.bytes).toString("utf8") },
    attributes: [{ key: ATTR_EVENT_HASH, value: { stringValue: event.hash } }],
  };
  try {
    const response = await fetch(`http://127.0.0.1:${port}/v1/logs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] }),
    });
    if (response.status !== 200) return false;
  } catch {
    return false;
  }
  acknowledged.push(event);
  return true;
}

function uidOf(line: string): string {
  return (JSON.parse(line) as { metadata: { uid: string } }).metadata.uid;
}
