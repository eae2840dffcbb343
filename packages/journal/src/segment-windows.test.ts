import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { JournalFile } from "./fs.ts";
import { MAX_FRAME_BYTES, SegmentWindows, WINDOW_BYTES } from "./segment-windows.ts";
import { createFaultyFs, type FaultPlan, type FaultyFs } from "./testing/faulty-fs.ts";
import { type Scratch, scratch } from "./testing/journal-fixture.ts";

/** No two windows of it are equal. */
const CONTENT = Buffer.from(
  Uint32Array.from({ length: WINDOW_BYTES }, (_, index) => Math.imul(index, 2_654_435_761)).buffer,
);
const END = CONTENT.length;

interface Opened extends AsyncDisposable {
  readonly fs: FaultyFs;
  readonly file: JournalFile;
  readonly windows: SegmentWindows;
}

async function open(s: Scratch, plan?: FaultPlan): Promise<Opened> {
  const path = join(s.directory, "segment");
  writeFileSync(path, CONTENT);
  const fs = createFaultyFs(plan);
  const file = await fs.open(path, "read");
  const windows = new SegmentWindows(file);
  const close = async (): Promise<void> => {
    await windows.idle();
    await file.close();
  };
  return { fs, file, windows, [Symbol.asyncDispose]: close };
}

const secondReadFails: FaultPlan = ({ operation, ofOperation }) =>
  operation === "read" && ofOperation === 2 ? { errno: "EIO" } : undefined;

function reads({ fs }: Opened): number {
  return fs.calls.filter(({ operation }) => operation === "read").length;
}

function part(from: number, to: number): Buffer {
  return CONTENT.subarray(from, to);
}

test.each([0, 1, 1_000, MAX_FRAME_BYTES])(
  "window after window, %i bytes of each left to the next: every byte, read once",
  async (left) => {
    using s = scratch();
    await using opened = await open(s);
    let from = 0;
    let windows = 0;
    for (; ; windows++) {
      const window = await opened.windows.read(from, END);
      expect(window.equals(part(from, from + window.length))).toBe(true);
      if (from + window.length === END) break;
      expect(window.length).toBeGreaterThanOrEqual(WINDOW_BYTES);
      from += window.length - left;
    }
    expect([windows, reads(opened)]).toEqual([3, 4]);
  },
);

test("the next window is asked for before anybody wants it, the one behind the end is not", async () => {
  using s = scratch();
  await using opened = await open(s);
  await opened.windows.read(0, END);
  expect(reads(opened)).toBe(2);
  await opened.windows.read(END - WINDOW_BYTES, END);
  expect(reads(opened)).toBe(3);
  await opened.windows.read(END - WINDOW_BYTES + 1, END);
  expect(reads(opened)).toBe(4);
});

test.each([
  { where: "further on", from: WINDOW_BYTES + 1, end: END },
  { where: "back, by more than a frame", from: WINDOW_BYTES - MAX_FRAME_BYTES - 1, end: END },
  { where: "with more to read by now", from: WINDOW_BYTES, end: END - 1 },
])("who goes on $where gets what is there", async ({ from, end }) => {
  using s = scratch();
  await using opened = await open(s);
  await opened.windows.read(0, END);
  const window = await opened.windows.read(from, end);
  expect(window.equals(part(from, from + WINDOW_BYTES))).toBe(true);
  expect(reads(opened)).toBe(4);
});

test("a file that is shorter than it was said to be gives what it has", async () => {
  using s = scratch();
  await using opened = await open(s);
  const more = END + 3 * WINDOW_BYTES;
  await opened.windows.read(END - WINDOW_BYTES - 10, more);
  const rest = await opened.windows.read(END - 20, more);
  expect(rest.equals(part(END - 20, END))).toBe(true);
  expect(await opened.windows.read(END + 5, more)).toHaveLength(0);
  expect(await opened.windows.read(END + 5, END)).toHaveLength(0);
});

test("what is behind the end is not read, although it is there", async () => {
  using s = scratch();
  await using opened = await open(s);
  const end = WINDOW_BYTES + 10;
  expect(await opened.windows.read(0, end)).toHaveLength(WINDOW_BYTES);
  expect(await opened.windows.read(WINDOW_BYTES - 5, end)).toHaveLength(15);
  expect(await opened.windows.read(end, end)).toHaveLength(0);
});

test("bytes that come in pieces are put together", async () => {
  using s = scratch();
  await using opened = await open(s);
  const file: JournalFile = {
    ...opened.file,
    read: (target, position) => opened.file.read(target.subarray(0, 100_000), position),
  };
  const windows = new SegmentWindows(file);
  const first = await windows.read(0, END);
  expect(first.equals(part(0, WINDOW_BYTES))).toBe(true);
  const second = await windows.read(WINDOW_BYTES - 5, END);
  expect(second.equals(part(WINDOW_BYTES - 5, 2 * WINDOW_BYTES))).toBe(true);
  await windows.idle();
});

test("a read ahead that fails is told to who asks for it, and the next one reads again", async () => {
  using s = scratch();
  await using opened = await open(s, secondReadFails);
  await opened.windows.read(0, END);
  await new Promise((resolve) => setImmediate(resolve));
  await expect(opened.windows.read(WINDOW_BYTES, END)).rejects.toMatchObject({ code: "EIO" });
  const again = await opened.windows.read(WINDOW_BYTES, END);
  expect(again.equals(part(WINDOW_BYTES, 2 * WINDOW_BYTES))).toBe(true);
});

test("idle waits for the read that is under way, whatever comes of it", async () => {
  using s = scratch();
  const until = Promise.withResolvers<void>();
  const plan: FaultPlan = ({ operation, ofOperation }) =>
    operation === "read" && ofOperation === 2 ? { errno: "EIO", until: until.promise } : undefined;
  await using opened = await open(s, plan);
  await opened.windows.read(0, END);
  let idle = false;
  const waiting = opened.windows.idle().then(() => (idle = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(idle).toBe(false);
  until.resolve();
  await waiting;
});
