import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LostEvent, sha256Hex, type StartEvent, verifyChain } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeFrame, HEADER_MAGIC } from "./frames.ts";
import { nodeFs } from "./fs.ts";
import { createEpochReader, type SeqRange } from "./epoch-reader.ts";
import { scanEpoch } from "./settle.ts";
import { decision, type Scratch, scratch, soon, startOf } from "./testing/journal-fixture.ts";

type Files = ReadonlyMap<string, Buffer>;

interface Original {
  readonly files: Files;
  /** Names of the segments, in order. */
  readonly names: readonly string[];
  readonly hashes: readonly string[];
  readonly epoch: string;
}

/** An epoch of a few small segments whose process died: no stop, no end record, no lease. */
async function original(s: Scratch): Promise<Original> {
  const journal = s.journal({
    emitter: "origin",
    limits: { segmentBytes: 4_096, reserveBytes: 0 },
  });
  const events = [];
  for (let n = 0; n < 12; n++) events.push(await journal.append(decision(`tool_${n}`)));
  const epoch = journal.status().epoch as string;
  const directory = join(s.directory, "journal", "origin", "0000000001");
  const names = readdirSync(directory)
    .filter((name) => name.endsWith(".wal"))
    .toSorted();
  const files = new Map(names.map((name) => [name, readFileSync(join(directory, name))]));
  const stored = (await s.stored()).get(epoch) ?? [];
  await journal.stop("shutdown", soon());
  return { files, names, hashes: stored.map((event) => event.hash), epoch };
}

function lay(directory: string, files: Files): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, bytes] of files) writeFileSync(join(directory, name), bytes);
}

function isLost(lost: readonly SeqRange[], seq: number): boolean {
  return lost.some(({ fromSeq, toSeq }) => fromSeq <= seq && seq <= toSeq);
}

async function readAll(directory: string): Promise<{ seq: number; hash: string }[]> {
  const reader = createEpochReader({ fs: nodeFs, epochPath: directory });
  const found = [];
  for (let step = await reader.next(); step; step = await reader.next()) {
    for (const { seq, body } of step.records) found.push({ seq, hash: sha256Hex(body) });
  }
  await reader.close();
  return found;
}

/** What holds for every damage: nothing invented, nothing re-ordered, nothing silently missing before the end. */
async function checkDamaged(directory: string, from: Original): Promise<void> {
  const scan = await scanEpoch(nodeFs, directory);
  const found = await readAll(directory);
  let last = -1;
  for (const { seq, hash } of found) {
    expect(hash).toBe(from.hashes[seq]);
    expect(seq).toBeGreaterThan(last);
    for (let missing = last + 1; missing < seq; missing++) {
      expect(isLost(scan.lost, missing)).toBe(true);
    }
    last = seq;
  }
  for (const { seq } of found) expect(isLost(scan.lost, seq)).toBe(false);
  expect(scan.last?.seq ?? -1).toBe(last);
  expect(scan.records).toBe(found.length);
}

test("any bit flips: never invents, and what is unreadable before the end is known as lost", async () => {
  using s = scratch();
  const from = await original(s);
  const total = from.names.reduce((sum, name) => sum + (from.files.get(name) as Buffer).length, 0);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(total - 1), fc.integer({ min: 1, max: 255 })), {
        minLength: 1,
        maxLength: 6,
      }),
      async (flips) => {
        const files = new Map([...from.files].map(([name, bytes]) => [name, Buffer.from(bytes)]));
        for (const [position, mask] of flips) {
          let at = position;
          for (const name of from.names) {
            const bytes = files.get(name) as Buffer;
            if (at < bytes.length) {
              bytes[at] = (bytes[at] as number) ^ mask;
              break;
            }
            at -= bytes.length;
          }
        }
        const directory = join(s.directory, `flip-${run++}`);
        lay(directory, files);
        await checkDamaged(directory, from);
      },
    ),
    { numRuns: 100 },
  );
  expect(run).toBe(100);
});

test("any truncation of the last segment: exactly the whole frames before it are there", async () => {
  using s = scratch();
  const from = await original(s);
  const lastName = from.names.at(-1) as string;
  const lastBytes = from.files.get(lastName) as Buffer;
  for (let length = 0; length <= lastBytes.length; length += 37) {
    const files = new Map(from.files).set(lastName, lastBytes.subarray(0, length));
    const directory = join(s.directory, `cut-${length}`);
    lay(directory, files);
    await checkDamaged(directory, from);
    const scan = await scanEpoch(nodeFs, directory);
    expect([length, scan.lost, scan.damaged]).toEqual([length, [], false]);
  }
});

test("any truncation of an earlier segment is corruption, and the range is exact", async () => {
  using s = scratch();
  const from = await original(s);
  const [name = ""] = from.names;
  const bytes = from.files.get(name) as Buffer;
  const directory = join(s.directory, "cut");
  lay(directory, new Map(from.files).set(name, bytes.subarray(0, bytes.length - 1)));
  const scan = await scanEpoch(nodeFs, directory);
  const found = new Set((await readAll(directory)).map(({ seq }) => seq));
  const missing = from.hashes.map((_, seq) => seq).filter((seq) => !found.has(seq));
  expect(missing).toHaveLength(1);
  expect(scan.lost).toEqual([{ fromSeq: missing[0], toSeq: missing[0] }]);
});

test("a missing segment is corruption", async () => {
  using s = scratch();
  const from = await original(s);
  const files = new Map(from.files);
  files.delete(from.names[1] as string);
  const directory = join(s.directory, "hole");
  lay(directory, files);
  const scan = await scanEpoch(nodeFs, directory);
  const found = new Set((await readAll(directory)).map(({ seq }) => seq));
  for (const seq of from.hashes.keys()) expect(found.has(seq)).not.toBe(isLost(scan.lost, seq));
  expect(scan.lost).toHaveLength(1);
});

test("zeros after the last frame are a torn tail", async () => {
  using s = scratch();
  const from = await original(s);
  const lastName = from.names.at(-1) as string;
  const bytes = Buffer.concat([from.files.get(lastName) as Buffer, Buffer.alloc(5_000)]);
  const directory = join(s.directory, "zeros");
  lay(directory, new Map(from.files).set(lastName, bytes));
  const scan = await scanEpoch(nodeFs, directory);
  expect(scan).toMatchObject({ damaged: false, lost: [], torn: { bytes: 5_000 } });
  expect(scan.records).toBe(from.hashes.length);
});

async function nextStart(
  s: Scratch,
  files: Files,
): Promise<{ start: StartEvent["data"]; lost: LostEvent["data"][] }> {
  lay(join(s.directory, "next", "origin", "0000000001"), files);
  const directory = join(s.directory, "next");
  const journal = s.journal({ directory, emitter: "origin" });
  const events = [];
  const reader = { directory: join(directory, "origin", "0000000002") };
  await journal.append(decision("after"));
  await journal.stop("shutdown", soon());
  const bytes = createEpochReader({ fs: nodeFs, epochPath: reader.directory });
  for (let step = await bytes.next(); step; step = await bytes.next()) {
    for (const { body } of step.records) events.push(JSON.parse(Buffer.from(body).toString()));
  }
  await bytes.close();
  return {
    start: (events[0] as StartEvent).data,
    lost: events
      .filter((event: { type: string }) => event.type.includes(".lost."))
      .map((event: LostEvent) => event.data),
  };
}

test("a torn tail is cut and reported, and the next start names the last whole event", async () => {
  using s = scratch();
  const from = await original(s);
  const lastName = from.names.at(-1) as string;
  const bytes = from.files.get(lastName) as Buffer;
  const { start, lost } = await nextStart(
    s,
    new Map(from.files).set(lastName, bytes.subarray(0, bytes.length - 10)),
  );
  const seq = from.hashes.length - 2;
  expect(start).toMatchObject({
    epochNumber: 2,
    previous: { epoch: from.epoch, seq, hash: from.hashes[seq], end: "no_stop" },
  });
  expect(lost).toEqual([]);
  expect(s.log.lines.some((line) => line.message.includes("torn tail"))).toBe(true);
  const cut = readFileSync(join(s.directory, "next", "origin", "0000000001", lastName));
  expect(cut.length).toBeLessThan(bytes.length - 10);
});

test("damage in the middle is recorded as lost, and the predecessor is corrupt", async () => {
  using s = scratch();
  const from = await original(s);
  const [name = ""] = from.names;
  const bytes = Buffer.from(from.files.get(name) as Buffer);
  const at = bytes.indexOf("tool_1");
  bytes[at] = (bytes[at] as number) ^ 1;
  const { start, lost } = await nextStart(s, new Map(from.files).set(name, bytes));
  expect(start.previous).toMatchObject({ end: "corrupt", seq: from.hashes.length - 1 });
  expect(lost).toMatchObject([
    {
      what: "records",
      count: 1,
      reason: "journal_corrupt",
      records: { epoch: from.epoch, fromSeq: 2, toSeq: 2 },
    },
  ]);
});

test("after a stop the next start says so, and numbers are gapless", async () => {
  using s = scratch();
  for (let n = 1; n <= 3; n++) {
    const journal = s.journal();
    await journal.append(decision());
    await journal.stop("shutdown", soon());
  }
  const epochs = [...(await s.stored()).values()];
  expect(epochs.map((start) => startOf(start).data.epochNumber)).toEqual([1, 2, 3]);
  for (const [index, events] of epochs.entries()) {
    expect(verifyChain(events)).toEqual({ ok: true });
    const before = epochs[index - 1]?.at(-1);
    const { previous } = startOf(events).data;
    expect([previous?.hash, previous?.end, previous?.seq]).toEqual(
      before === undefined ? [undefined, undefined, undefined] : [before.hash, "stop", 2],
    );
  }
});

test("an epoch that died before its first event leaves its number to the next", async () => {
  using s = scratch();
  const emitterPath = join(s.directory, "journal", "origin");
  mkdirSync(join(emitterPath, "0000000001"), { recursive: true });
  writeFileSync(join(emitterPath, "0000000001", "00000000.wal"), Buffer.from("ff43"));
  const journal = s.journal({ emitter: "origin" });
  const event = await journal.append(decision());
  await journal.stop("shutdown", soon());
  const [events] = (await s.stored()).values();
  expect(startOf(events).data.epochNumber).toBe(1);
  expect(event.event.data).toMatchObject({ chain: { seq: 1 } });
});

test("also a number that was passed by is taken, with and without a header", async () => {
  using s = scratch();
  const emitterPath = join(s.directory, "journal", "origin");
  const first = s.journal({ emitter: "origin" });
  await first.append(decision());
  const header = readFileSync(join(emitterPath, "0000000001", "00000000.wal"));
  mkdirSync(join(emitterPath, "0000000002"), { recursive: true });
  mkdirSync(join(emitterPath, "0000000003"), { recursive: true });
  writeFileSync(join(emitterPath, "0000000003", "00000000.wal"), header.subarray(0, 300));
  await first.stop("shutdown", soon());
  const numbers = [];
  for (let n = 0; n < 3; n++) {
    const journal = s.journal({ emitter: "origin" });
    await journal.append(decision());
    await journal.stop("shutdown", soon());
  }
  for (const events of (await s.stored()).values()) {
    numbers.push(startOf(events).data.epochNumber);
  }
  expect(numbers.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4]);
});

test("an epoch of a later version is left alone", async () => {
  using s = scratch();
  const epoch = join(s.directory, "journal", "origin", "0000000001");
  mkdirSync(epoch, { recursive: true });
  const later = encodeFrame(0, Buffer.from('{"format":2}'), HEADER_MAGIC);
  writeFileSync(join(epoch, "00000000.wal"), later);
  const journal = s.journal({ emitter: "origin" });
  await journal.append(decision());
  await journal.stop("shutdown", soon());
  expect(readFileSync(join(epoch, "00000000.wal"))).toEqual(later);
  const [events] = (await s.stored()).values();
  expect(startOf(events).data.epochNumber).toBe(2);
});
