import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeFs } from "../fs.ts";
import { createFaultyFs, type FaultyFs } from "../testing/faulty-fs.ts";
import { scratch } from "../testing/journal-fixture.ts";
import { openCursor, readCursor } from "./cursor.ts";

function operations(fs: FaultyFs): string[] {
  return fs.calls.map(({ operation }) => operation);
}

test("a cursor says what it was moved to, and its file stays as small as it is", async () => {
  using s = scratch();
  const cursor = await openCursor(nodeFs, s.directory);
  expect(cursor.next).toBeUndefined();
  for (const next of [3, 4, 2_000_000_000]) {
    await cursor.move(next);
    expect(cursor.next).toBe(next);
    expect(await readCursor(nodeFs, s.directory)).toBe(next);
  }
  await cursor.close();
  expect(readdirSync(s.directory)).toEqual(["cursor"]);
  expect(readFileSync(join(s.directory, "cursor"))).toHaveLength(20);
  const again = await openCursor(nodeFs, s.directory);
  expect(again.next).toBe(2_000_000_000);
  await again.move(5);
  await again.close();
  expect(await readCursor(nodeFs, s.directory)).toBe(5);
});

test("a cursor that is torn, or was never written, says nothing", async () => {
  using s = scratch();
  expect(await readCursor(nodeFs, s.directory)).toBeUndefined();
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(20), Buffer.alloc(7, 0xff)]) {
    writeFileSync(join(s.directory, "cursor"), bytes);
    expect(await readCursor(nodeFs, s.directory)).toBeUndefined();
  }
});

test("content and name become durable when that is asked for, the name once", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const cursor = await openCursor(fs, s.directory);
  await cursor.sync();
  expect(operations(fs)).toEqual(["open"]);
  await cursor.move(1);
  expect(operations(fs)).not.toContain("datasync");
  await cursor.sync();
  expect(operations(fs).slice(-2)).toEqual(["datasync", "syncDirectory"]);
  await cursor.move(2);
  await cursor.sync();
  expect(operations(fs).slice(-2)).toEqual(["write", "datasync"]);
  await cursor.close();
  await cursor.close();
  expect(operations(fs).slice(-2)).toEqual(["datasync", "close"]);
});

test("a cursor that was found is made durable before anything is deleted on its word", async () => {
  using s = scratch();
  const first = await openCursor(nodeFs, s.directory);
  await first.move(9);
  await first.close();
  const fs = createFaultyFs();
  const cursor = await openCursor(fs, s.directory);
  await cursor.sync();
  expect(operations(fs).slice(-3)).toEqual(["open", "datasync", "syncDirectory"]);
  expect(await readCursor(nodeFs, s.directory)).toBe(9);
  await cursor.close();
});

test("a name whose sync failed is synced again", async () => {
  using s = scratch();
  let fails = true;
  const fs = createFaultyFs(({ operation }) =>
    fails && operation === "syncDirectory" ? { errno: "EIO" } : undefined,
  );
  const cursor = await openCursor(fs, s.directory);
  await cursor.move(1);
  await expect(cursor.sync()).rejects.toMatchObject({ code: "EIO" });
  fails = false;
  await cursor.sync();
  expect(operations(fs).at(-1)).toBe("syncDirectory");
  await cursor.close();
});

test("a file that cannot be opened is no file that is not there", async () => {
  using s = scratch();
  const fs = createFaultyFs(({ operation, ofOperation }) =>
    operation === "open" && ofOperation === 2 ? { errno: "EACCES" } : undefined,
  );
  const cursor = await openCursor(fs, s.directory);
  await expect(cursor.move(1)).rejects.toMatchObject({ code: "EACCES" });
  expect(cursor.next).toBeUndefined();
  expect(readdirSync(s.directory)).toEqual([]);
});
