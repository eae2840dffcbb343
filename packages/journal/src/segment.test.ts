import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeFrame, HEADER_MAGIC } from "./frames.ts";
import { nodeFs } from "./fs.ts";
import { createSegment, readHeader, type SegmentHeader } from "./segment.ts";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { scratch } from "./testing/journal-fixture.ts";

const HEADER: SegmentHeader = {
  format: 1,
  emitter: "origin",
  epoch: "8ca74318d50c4c1be14ceba89d191e69",
  epochNumber: 3,
  segment: 2,
  firstSeq: 41,
  prev: "0".repeat(64),
  tenant: "acme",
  service: { name: "tickets", version: "2.3.1" },
  producer: "0.1.0",
};

async function headerOf(path: string): ReturnType<typeof readHeader> {
  const file = await nodeFs.open(path, "read");
  try {
    return await readHeader(file);
  } finally {
    await file.close();
  }
}

test("a segment begins with its header, made durable before anything is appended", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const { file, index, size } = await createSegment(fs, s.directory, HEADER);
  expect(fs.calls.map(({ operation }) => operation)).toEqual([
    "open",
    "append",
    "sync",
    "syncDirectory",
  ]);
  expect([index, await file.size()]).toEqual([2, size]);
  await file.close();
  expect(await headerOf(join(s.directory, "00000002.wal"))).toEqual({ header: HEADER, end: size });
});

test.each(["append", "sync", "syncDirectory"])(
  "a segment whose %s fails is no segment, and no file stays open",
  async (operation) => {
    using s = scratch();
    const fs = createFaultyFs((call) =>
      call.operation === operation || call.operation === "close" ? { errno: "EIO" } : undefined,
    );
    await expect(createSegment(fs, s.directory, HEADER)).rejects.toThrow(`injected, ${operation}`);
    expect(fs.calls.at(-1)?.operation).toBe("close");
  },
);

test("what is no header is not taken for one, and a later version is left to itself", async () => {
  using s = scratch();
  const path = join(s.directory, "00000000.wal");
  const header = encodeFrame(0, Buffer.from("not JSON"), HEADER_MAGIC);
  for (const bytes of [Buffer.alloc(0), header, header.subarray(0, -1), Buffer.alloc(5_000)]) {
    writeFileSync(path, bytes);
    expect(await headerOf(path)).toBeUndefined();
  }
  const later = Buffer.from(JSON.stringify({ ...HEADER, format: 2 }));
  writeFileSync(path, encodeFrame(0, later, HEADER_MAGIC));
  await expect(headerOf(path)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});
