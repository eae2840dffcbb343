// Every damage is named with its file and offset, and nothing is changed by looking.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeFrame, HEADER_MAGIC, RECORD_MAGIC } from "./frames.ts";
import { decision, type Scratch, scratch, soon } from "./testing/journal-fixture.ts";
import { type JournalFinding, verifyJournal } from "./verify.ts";

const EPOCH = "origin/0000000001";

/** A journal of some segments, in order, and the offsets of the records in each. */
async function whole(s: Scratch): Promise<{ directory: string; offsets: number[][] }> {
  const journal = s.journal({
    emitter: "origin",
    limits: { segmentBytes: 4_096, reserveBytes: 0 },
  });
  for (let n = 0; n < 12; n++) await journal.append(decision(`tool_${n}`));
  await journal.stop("shutdown", soon());
  const directory = join(s.directory, "journal");
  const offsets = segments(directory).map((name) => {
    const bytes = readFileSync(join(directory, EPOCH, name));
    const mark = Buffer.alloc(4);
    mark.writeUInt32BE(RECORD_MAGIC);
    const found = [];
    for (let at = bytes.indexOf(mark); at !== -1; at = bytes.indexOf(mark, at + 1)) found.push(at);
    return found;
  });
  return { directory, offsets };
}

function segments(directory: string): string[] {
  return readdirSync(join(directory, EPOCH))
    .filter((name) => name.endsWith(".wal"))
    .toSorted();
}

interface Damage {
  readonly name: string;
  /** Changes the bytes of one segment. */
  change(bytes: Buffer, at: number): Buffer;
  readonly kind: JournalFinding["kind"];
  readonly where?: "record" | "header";
  readonly segment?: "last";
}

const DAMAGES: readonly Damage[] = [
  { name: "a flipped bit", kind: "corrupt", change: (bytes, at) => flip(bytes, at + 30) },
  {
    name: "a flipped bit of a checksum",
    kind: "corrupt",
    change: (bytes, at) => flip(bytes, at + 17),
  },
  {
    name: "a flipped bit of a number",
    kind: "corrupt",
    change: (bytes, at) => flip(bytes, at + 15),
  },
  {
    name: "a length of 2^32 - 1",
    kind: "corrupt",
    change: (bytes, at) => written(bytes, (copy) => copy.writeUInt32BE(0xffffffff, at + 4)),
  },
  {
    name: "zeros over a record",
    kind: "corrupt",
    change: (bytes, at) => written(bytes, (copy) => copy.fill(0, at, at + 100)),
  },
  {
    name: "an earlier segment cut",
    kind: "corrupt",
    change: (bytes, at) => bytes.subarray(0, at + 9),
  },
  {
    name: "a jump of numbers with a valid checksum",
    kind: "corrupt",
    change: (bytes, at) =>
      Buffer.concat([
        bytes.subarray(0, at),
        encodeFrame(2 ** 40, Buffer.from("{}")),
        bytes.subarray(at),
      ]),
  },
  {
    name: "a record again",
    kind: "corrupt",
    change: (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes]),
  },
  {
    name: "a torn tail",
    kind: "torn",
    segment: "last",
    change: (bytes, at) => bytes.subarray(0, at + 9),
  },
  {
    name: "zeros at the end",
    kind: "torn",
    segment: "last",
    change: (bytes, at) => Buffer.concat([bytes.subarray(0, at), Buffer.alloc(4_096)]),
  },
  {
    name: "a header with a flipped bit",
    kind: "corrupt",
    where: "header",
    change: (bytes) => flip(bytes, 40),
  },
  {
    name: "a later version",
    kind: "unknown",
    where: "header",
    change: () => encodeFrame(0, Buffer.from('{"format":2}'), HEADER_MAGIC),
  },
];

function written(bytes: Buffer, write: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  write(copy);
  return copy;
}

function flip(bytes: Buffer, at: number): Buffer {
  return written(bytes, (copy) => {
    copy[at] = (copy[at] as number) ^ 1;
  });
}

function snapshot(directory: string): unknown {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => [entry.name, readFileSync(join(entry.parentPath, entry.name)).toString("hex")]);
}

test("a whole journal is whole", async () => {
  using s = scratch();
  const { directory, offsets } = await whole(s);
  const { findings, records, segments: count, epochs } = await verifyJournal(directory);
  expect(findings).toEqual([]);
  expect({ records, count, epochs }).toEqual({ records: 14, count: offsets.length, epochs: 1 });
});

test.each(DAMAGES)("$name is found where it is, and left as it is", async (damage) => {
  using s = scratch();
  const { directory, offsets } = await whole(s);
  const index = damage.segment === "last" ? offsets.length - 1 : 1;
  const [at = 0] =
    damage.segment === "last"
      ? (offsets[index]?.slice(-1) ?? [])
      : (offsets[index]?.slice(1) ?? []);
  const name = segments(directory)[index] as string;
  const path = join(directory, EPOCH, name);
  writeFileSync(path, damage.change(readFileSync(path), at));
  const before = snapshot(directory);
  const { findings } = await verifyJournal(directory);
  expect(findings).toContainEqual(
    expect.objectContaining({
      kind: damage.kind,
      file: `${EPOCH}/${name}`,
      offset: damage.where === "header" ? 0 : at,
    }),
  );
  expect(snapshot(directory)).toEqual(before);
});

test("swapped, missing and foreign files, and small files that are torn", async () => {
  using s = scratch();
  const { directory } = await whole(s);
  const at = (name: string): string => join(directory, EPOCH, name);
  const [zero, one] = [readFileSync(at("00000000.wal")), readFileSync(at("00000001.wal"))];
  writeFileSync(at("00000000.wal"), one);
  writeFileSync(at("00000001.wal"), zero);
  rmSync(at("00000002.wal"));
  writeFileSync(at("cursor"), "torn");
  writeFileSync(at("end"), "{");
  writeFileSync(at("notes.txt"), "mine");
  mkdirSync(join(directory, "Somebody else's"));
  const { findings } = await verifyJournal(directory);
  const found = findings.map(({ kind, file }) => `${kind} ${file}`);
  for (const name of ["00000000.wal", "00000001.wal", "00000002.wal", "cursor", "end"]) {
    expect(found).toContain(`corrupt ${EPOCH}/${name}`);
  }
  expect(found).toContain(`foreign ${EPOCH}/notes.txt`);
  expect(found).toContain("foreign Somebody else's");
});

test("a tail that is gone although the epoch ended in order", async () => {
  using s = scratch();
  const { directory, offsets } = await whole(s);
  const name = segments(directory).at(-1) as string;
  const path = join(directory, EPOCH, name);
  writeFileSync(path, readFileSync(path).subarray(0, offsets.at(-1)?.at(-1)));
  const { findings } = await verifyJournal(directory);
  expect(findings).toMatchObject([{ kind: "corrupt", file: `${EPOCH}/end` }]);
});
