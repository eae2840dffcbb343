// What is in the directory may be anybody's: other people's files, links, and segments whose checksums are right and whose
// content is not. Whatever it is, the next process records or says why not, in bounded time; it touches nothing but what is its
// own, and `journal verify` names it.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode, unseal, verifyChain } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { encodeFrame, HEADER_MAGIC } from "./frames.ts";
import { nodeFs } from "./fs.ts";
import { decision, eventually, scratch, soon, startOf } from "./testing/journal-fixture.ts";
import { scanRecords } from "./testing/scan-records.ts";
import { verifyJournal } from "./verify.ts";

const EPOCH = "0".repeat(32);
const HASH = "0".repeat(64);
const FIRST = "origin/0000000001";
const SEGMENT = `${FIRST}/00000000.wal`;
const HEADER = {
  format: 1,
  emitter: "origin",
  epoch: EPOCH,
  epochNumber: 1,
  segment: 0,
  firstSeq: 0,
  prev: HASH,
  tenant: "acme",
  service: { name: "tickets" },
  producer: "0",
};

const END = {
  emitter: "origin",
  epoch: EPOCH,
  epochNumber: 1,
  tenant: "acme",
  seq: 0,
  hash: HASH,
  end: "stop",
  lost: [],
};

function header(said: unknown): Buffer {
  return encodeFrame(0, Buffer.from(JSON.stringify(said)), HEADER_MAGIC);
}

/** A record with a valid checksum; its body is none of ours unless it is. */
function record(seq: number, body: unknown): Buffer {
  return encodeFrame(seq, Buffer.from(JSON.stringify(body)));
}

function event(seq: number, chain: object = {}): Buffer {
  const said = { emitter: "origin", epoch: EPOCH, seq, prev: HASH, ...chain };
  return record(seq, {
    type: "dev.countersign.decision.v1",
    data: { tenant: "acme", chain: said },
  });
}

/** Lays files in the journal's directory; the makers get the path. */
type Lay = Readonly<Record<string, Uint8Array | string | ((path: string) => void)>>;

const directory = (path: string): void => void mkdirSync(path, { recursive: true });
const linkTo =
  (target: string) =>
  (path: string): void =>
    symlinkSync(target, path);
const one = { [SEGMENT]: Buffer.concat([header(HEADER), event(0)]) };

interface Hostile {
  readonly name: string;
  readonly lay: Lay;
  /** What `verify` says, by file. */
  readonly found?: Readonly<Record<string, string>>;
  /** The code with which calls are refused; absent: they are recorded. */
  readonly refused?: string;
}

const HOSTILE: readonly Hostile[] = [
  {
    name: "files and directories of others",
    lay: { "notes.txt": "mine", ".git/HEAD": "ref", "origin/old/0.wal": "x", "origin/readme": "x" },
    found: { "notes.txt": "foreign", ".git": "foreign", "origin/old": "foreign" },
  },
  {
    name: "a file with the name of an epoch",
    lay: { [FIRST]: "mine" },
    found: { [FIRST]: "foreign" },
  },
  {
    name: "a directory with the name of a segment",
    lay: { [SEGMENT]: directory },
    found: { [SEGMENT]: "foreign" },
  },
  { name: "a file with the name of the emitter", lay: { origin: "x" }, refused: "UNAVAILABLE" },
  {
    name: "a link to nothing for an epoch",
    lay: { [FIRST]: linkTo("/nowhere") },
    found: { [FIRST]: "foreign" },
  },
  {
    name: "links in a circle for an epoch",
    lay: { [FIRST]: linkTo("0000000001") },
    found: { [FIRST]: "foreign" },
  },
  {
    name: "a link for a segment",
    lay: {
      "../precious": Buffer.concat([header(HEADER), Buffer.from("precious")]),
      [SEGMENT]: linkTo("../../../precious"),
    },
    found: { [SEGMENT]: "foreign" },
  },
  { name: "a directory for the reserve", lay: { "origin/reserve": directory } },
  {
    name: "a directory for the cursor",
    lay: { ...one, [`${FIRST}/cursor`]: directory },
    found: { [`${FIRST}/cursor`]: "foreign" },
  },
  {
    name: "a directory for the end",
    lay: { ...one, [`${FIRST}/end`]: directory },
    found: { [`${FIRST}/end`]: "corrupt" },
  },
  { name: "a directory for the lease", lay: { ...one, [`${FIRST}/lease.0`]: directory } },
  {
    name: "an epoch with the last number there is",
    lay: { "origin/9999999999/00000000.wal": one[SEGMENT] as Uint8Array },
    refused: "CONFIG_INVALID",
  },
  {
    name: "a segment with the last number there is",
    lay: { [`${FIRST}/99999999.wal`]: one[SEGMENT] as Uint8Array },
    found: { [`${FIRST}/99999999.wal`]: "corrupt" },
  },
  {
    name: "a jump to the last sequence number there is",
    lay: { [SEGMENT]: Buffer.concat([header(HEADER), event(0), event(Number.MAX_SAFE_INTEGER)]) },
    found: { [SEGMENT]: "corrupt" },
  },
  {
    name: "a jump and back",
    lay: { [SEGMENT]: Buffer.concat([header(HEADER), event(0), event(2 ** 52), event(2)]) },
    found: { [SEGMENT]: "corrupt" },
  },
  {
    name: "a chain that names no epoch",
    lay: { [SEGMENT]: Buffer.concat([header(HEADER), event(0, { epoch: "<script>" })]) },
    found: { [SEGMENT]: "corrupt" },
  },
  ...[null, [], {}, { data: 5 }].map((body) => ({
    name: `a record of ${JSON.stringify(body)}`,
    lay: { [SEGMENT]: Buffer.concat([header(HEADER), record(0, body)]) },
    found: { [SEGMENT]: "corrupt" },
  })),
  ...[
    null,
    { ...HEADER, prev: "zz" },
    { ...HEADER, firstSeq: "5" },
    { ...HEADER, firstSeq: -1 },
    { ...HEADER, firstSeq: 1e300 },
    { ...HEADER, epochNumber: {} },
    { ...HEADER, service: null },
  ].map((said, at) => ({
    name: `a header that is none, ${at}`,
    lay: { [SEGMENT]: Buffer.concat([header(said), event(0)]) },
    found: { [SEGMENT]: "corrupt" },
  })),
  {
    name: "a header of a later version",
    lay: { [SEGMENT]: header({ format: 2, everything: "else" }) },
    found: { [SEGMENT]: "unknown" },
  },
  ...[{ epoch: "zz" }, { hash: 5 }, { seq: -1 }, { end: "well" }, { lost: [null] }].map((said) => ({
    name: `an end that says ${JSON.stringify(said)}`,
    lay: {
      ...one,
      [`${FIRST}/end`]: JSON.stringify({
        ...END,
        ...said,
      }),
    },
    found: { [`${FIRST}/end`]: "corrupt" },
  })),
  {
    name: "a cursor that is ahead of its epoch",
    lay: { ...one, [`${FIRST}/cursor`]: encodeFrame(2 ** 50, Buffer.alloc(0)) },
    found: { [`${FIRST}/cursor`]: "corrupt" },
  },
];

function lay(root: string, files: Lay): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    if (typeof content === "function") content(path);
    else writeFileSync(path, content);
  }
}

test.skipIf(process.platform === "win32").each(HOSTILE)("$name", async (hostile) => {
  using s = scratch();
  const root = join(s.directory, "journal");
  lay(root, hostile.lay);
  const { findings } = await verifyJournal(root);
  for (const [file, kind] of Object.entries(hostile.found ?? {})) {
    expect(findings).toContainEqual(expect.objectContaining({ file, kind }));
  }
  const journal = s.journal({ emitter: "origin" });
  const refused = await journal.append(decision()).then(() => undefined, errorCode);
  expect(refused).toBe(hostile.refused);
  await journal.stop("shutdown", soon());
  for (const [name, content] of Object.entries(hostile.lay)) {
    // What somebody else put there is as it was.
    if (typeof content === "function" || name.endsWith("/end") || name.endsWith("/cursor"))
      continue;
    expect(readFileSync(join(root, name))).toEqual(Buffer.from(content));
  }
});

test.skipIf(process.platform === "win32")("a pipe for a segment is not waited for", async () => {
  using s = scratch();
  const path = join(s.directory, "journal", SEGMENT);
  mkdirSync(dirname(path), { recursive: true });
  execFileSync("mkfifo", [path]);
  const journal = s.journal({ emitter: "origin" });
  const { event: told } = await journal.append(decision());
  expect(told.data).toMatchObject({ chain: { seq: 1 } });
  await journal.stop("shutdown", soon());
});

test("whatever frames say, the next process records, and its own chain is whole", async () => {
  const seq = fc.oneof(fc.nat(5), fc.maxSafeNat());
  const said = fc.oneof(
    fc.constant(HEADER),
    fc.json().map((text): unknown => JSON.parse(text)),
  );
  const frame = fc.oneof(
    fc.tuple(seq, fc.json()).map(([at, text]) => record(at, JSON.parse(text))),
    fc
      .tuple(seq, fc.record({ epoch: fc.string(), emitter: fc.string() }))
      .map(([at, chain]) => event(at, chain)),
    seq.map((at) => event(at)),
    said.map(header),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  );
  const segment = fc.tuple(said, fc.array(frame, { maxLength: 6 }));
  await fc.assert(
    fc.asyncProperty(fc.array(segment, { minLength: 1, maxLength: 3 }), async (segments) => {
      using s = scratch();
      const root = join(s.directory, "journal");
      for (const [at, [first, frames]] of segments.entries()) {
        lay(root, { [`${FIRST}/0000000${at}.wal`]: Buffer.concat([header(first), ...frames]) });
      }
      await verifyJournal(root);
      const journal = s.journal({ emitter: "origin", directory: root });
      const { event: told } = await journal.append(decision());
      const { epoch } = (told.data as { chain: { epoch: string } }).chain;
      await journal.stop("shutdown", soon());
      const records = await scanRecords(nodeFs, root);
      const own = records
        .filter(({ body }) => Buffer.from(body).includes(epoch))
        .map(({ body }) => unseal(body));
      expect(startOf(own).data.epochNumber).toBeLessThanOrEqual(2);
      expect(verifyChain(own)).toEqual({ ok: true });
    }),
    { numRuns: 60 },
  );
});

test.skipIf(process.platform === "win32")(
  "links in the path are followed, and the journal is where they lead",
  async () => {
    using s = scratch();
    mkdirSync(join(s.directory, "real"), { mode: 0o700 });
    symlinkSync("real", join(s.directory, "link"));
    const journal = s.journal({
      directory: join(s.directory, "link", "journal"),
      emitter: "origin",
    });
    await journal.append(decision());
    await journal.stop("shutdown", soon());
    expect(existsSync(join(s.directory, "real", "journal", FIRST, "00000000.wal"))).toBe(true);
  },
);

test.skipIf(process.platform === "win32")(
  "a directory that is deleted stops calls with the next one",
  async () => {
    using s = scratch();
    const root = join(s.directory, "journal");
    const journal = s.journal({ emitter: "origin" });
    await journal.append(decision());
    rmSync(root, { recursive: true });
    for (let n = 0; n < 3; n++) {
      await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
      await sleep(5);
    }
    await journal.stop("shutdown", soon());
    const next = s.journal({ emitter: "origin" });
    await next.append(decision());
    await next.stop("shutdown", soon());
    expect([...(await s.stored()).values()].flat()).toHaveLength(3);
  },
);

test.skipIf(process.platform === "win32")(
  "a segment that is deleted ends its epoch, and the next one says where it ended",
  async () => {
    using s = scratch();
    const journal = s.journal({ emitter: "origin" });
    const last = await journal.append(decision());
    unlinkSync(join(s.directory, "journal", SEGMENT));
    await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
    // A pause of 1 ms lies between two epochs.
    await eventually(() =>
      journal.append(decision()).then(
        () => true,
        () => false,
      ),
    );
    await journal.stop("shutdown", soon());
    const [events] = (await s.stored()).values();
    expect(startOf(events).data.previous).toMatchObject({ end: "journal_fault", hash: last.hash });
  },
);
