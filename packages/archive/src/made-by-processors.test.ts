// Events without a chain: one each by source and id, through batches, restarts and a long log.
import { findingEvent, type SealedEvent, spanDecision } from "@countersign/model";
import { expect, test } from "vitest";
import { type ArchiveLog } from "./log.ts";
import { openArchive } from "./open-archive.ts";
import { createChainMaker, temporaryDirectory } from "./testing/index.ts";

const open = (directory: string): Promise<ArchiveLog> =>
  openArchive({ directory, origin: "archive.test/acme" });

const START_MS = Date.UTC(2026, 10, 22, 9);
const time = (ms: number): string => new Date(START_MS + ms).toISOString();

function finding(seq: number): SealedEvent {
  const of = { emitter: "tickets-1", epoch: "5".repeat(32), seq, hash: "ab".repeat(32) };
  const data = { tenant: "acme", finding: "NO_STOP", of } as const;
  return findingEvent({ data, time: time(seq), component: "continuity" });
}

function decision(span: number, durationUs = 5): SealedEvent {
  return spanDecision({
    source: "urn:countersign:connector:decisions",
    traceId: "4b".repeat(16),
    spanId: (span + 1).toString(16).padStart(16, "0"),
    // Spans arrive out of order, and some of them end in the same millisecond.
    time: time((span * 7919) % 9000),
    tenant: "acme",
    mode: "enforce",
    decision: "deny",
    reason: "unmapped",
    effect: "block",
    call: { method: "tools/call", transport: "http", gate: "in_process" },
    nameKnown: false,
    server: { id: "urn:mcp:tickets" },
    policy: { digest: `sha256:${"0".repeat(64)}` },
    durationUs,
  });
}

test("the same one again is a duplicate, another one under its id a fork, whatever lies between", async () => {
  await using place = await temporaryDirectory();
  const log = await open(place.path);
  const made = Array.from({ length: 600 }, (_, at) => [finding(at), decision(at)]).flat();
  const chain = createChainMaker();
  for (let at = 0; at < made.length; at += 100) {
    const { duplicates, forks } = await log.append([
      ...made.slice(at, at + 100),
      chain.heartbeat(),
      ...made.slice(at, at + 3),
    ]);
    expect([duplicates, forks]).toEqual([3, []]);
  }
  expect(log.size).toBe(1212n);
  expect((await log.append(made)).duplicates).toBe(1200);
  await log.close();

  const again = await open(place.path);
  const { duplicates, forks } = await again.append([...made.toReversed(), decision(17, 6)]);
  expect([duplicates, forks, again.size]).toEqual([1200, [1200], 1212n]);
  await again.append([finding(9999)]);
  expect(again.size).toBe(1213n);
  await again.close();
});

test("an event that claims no maker has no place", async () => {
  await using place = await temporaryDirectory();
  const log = await open(place.path);
  const one = decision(1);
  const stranger = { ...one, event: { ...one.event, source: "urn:other" } } as SealedEvent;
  await expect(log.append([stranger])).rejects.toMatchObject({
    code: "INPUT_INVALID",
    failed: [0],
  });
  await log.close();
});
