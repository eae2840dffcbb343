// The embedded configuration looks along its own chains: findings stand in the archive once, whatever happens to the processor.
import { join } from "node:path";
import { openArchive } from "@countersign/archive";
import {
  ATTR_EVENT_HASH,
  draftHeartbeat,
  eventTime,
  type FindingEvent,
  GENESIS,
  seal,
  type SealedEvent,
  zeroCounters,
} from "@countersign/model";
import { expect, test } from "vitest";
import { embeddedHome, type Running, startProcessor } from "./processor-process.ts";

const START_MS = Date.now();

/** A chain of heartbeats; another seed is another history of the same places. */
function chainOf(count: number, seed: number): readonly SealedEvent[] {
  const events: SealedEvent[] = [];
  let prev = GENESIS;
  for (let seq = 0; seq < count; seq += 1) {
    const journal = { bytes: seed, unacknowledged: 0, oldestUnacknowledgedMs: 0 };
    const draft = draftHeartbeat({
      tenant: "acme",
      uptimeMs: seq,
      counters: zeroCounters(),
      journal,
    });
    const place = { emitter: "tickets-e2e", epoch: "7".repeat(32), seq, prev };
    const sealed = seal(draft, place, eventTime(START_MS + seq));
    events.push(sealed);
    prev = sealed.hash;
  }
  return events;
}

async function post(
  processor: Running,
  events: readonly (SealedEvent | undefined)[],
): Promise<void> {
  const logRecords = events.flatMap((event) =>
    event === undefined
      ? []
      : [
          {
            eventName: "countersign.heartbeat",
            body: { stringValue: Buffer.from(event.bytes).toString("utf8") },
            attributes: [{ key: ATTR_EVENT_HASH, value: { stringValue: event.hash } }],
          },
        ],
  );
  const response = await fetch(`${processor.endpoints["otlp"]}/v1/logs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] }),
  });
  expect(response.status).toBe(200);
}

async function figure(processor: Running, line: string): Promise<number> {
  const text = await (await fetch(`${processor.endpoints["metrics"]}/metrics`)).text();
  return Number(
    text
      .split("\n")
      .find((one) => one.startsWith(line))
      ?.slice(line.length) ?? "NaN",
  );
}

const SIZE = 'countersign_archive_size{exporter="archive"} ';
const LAG = 'countersign_receiver_lag{pipeline="decisions/continuity",receiver="archive"} ';

test.each(["with what it stored", "reading the log again"])(
  "a gap and a fork are found, and a processor that dies finds nothing twice: %s",
  async (way) => {
    using home = embeddedHome(0, (yaml) =>
      yaml.replace(
        /continuity: \{ state: (\S+) \}/,
        way === "with what it stored"
          ? "continuity: { state: $1, settle: 300ms }"
          : "continuity: { settle: 300ms }",
      ),
    );
    const events = chainOf(12, 1);
    const other = chainOf(12, 2);
    let processor = await startProcessor(home.config);
    try {
      await post(processor, events.slice(0, 4));
      await post(processor, [...events.slice(6, 8), other[7]]);
      await expect.poll(() => figure(processor, SIZE), { timeout: 10_000 }).toBe(8);
      const stores = way === "with what it stored";
      expect(await processor.end(stores ? "SIGTERM" : "SIGKILL")).toBe(stores ? 0 : null);
      processor = await startProcessor(home.config);
      await post(processor, events.slice(8));
      await expect.poll(() => figure(processor, SIZE), { timeout: 10_000 }).toBe(12);
      await expect.poll(() => figure(processor, LAG), { timeout: 10_000 }).toBe(0);
      // Longer than a gap may wait.
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(await figure(processor, SIZE)).toBe(12);
      expect(await processor.end("SIGTERM")).toBe(0);
    } finally {
      processor.child.kill("SIGKILL");
    }
    const log = await openArchive({
      directory: join(home.directory, "archive"),
      origin: "countersign.local/default",
    });
    try {
      const found = (await log.read(0n, 100))
        .map(({ event }) => event.event)
        .filter((event): event is FindingEvent => event.type === "dev.countersign.finding.v1");
      expect(found.map(({ data }) => data)).toEqual([
        {
          tenant: "acme",
          finding: "FORK",
          of: { emitter: "tickets-e2e", epoch: "7".repeat(32), seq: 7, hash: other[7]?.hash },
          expected: events[7]?.hash,
        },
        {
          tenant: "acme",
          finding: "GAP",
          of: { emitter: "tickets-e2e", epoch: "7".repeat(32) },
          missing: { what: "events", from: 4, to: 5 },
        },
      ]);
    } finally {
      await log.close();
    }
    expect(home.lines("dead-letter")).toHaveLength(1);
  },
);
