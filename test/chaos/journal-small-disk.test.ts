// Disks that are full, out of inodes, or read-only, and really so: a small tmpfs under the journal of a real MCP server whose tool
// leaves a trace. Nothing runs without its record, what was recorded stays, and when there is room calls run again by themselves.
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listEpochs, nodeFs, verifyJournal } from "@countersign/journal";
import { type CountersignEvent, kindOf, type StartEvent } from "@countersign/model";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openRecordedServer, type RecordedServer } from "../e2e/fixtures/recorded-server.ts";
import { readJournal } from "../e2e/fixtures/sdk/journal-events.ts";
import { canMount, mountSmallDisk, type SmallDisk } from "./small-disk.ts";

const NOT_RECORDED = "Access could not be recorded, so the call was not run.";
const MOUNT = canMount();
const quiet = (): void => undefined;

describe.skipIf(!MOUNT)("on a small disk", () => {
  let disk: SmallDisk;
  let directory: string;
  let server: RecordedServer;
  let errors: string[];

  beforeEach(async () => {
    disk = mountSmallDisk("size=512k,nr_inodes=64");
    directory = join(disk.path, "journal");
    await open();
  });

  afterEach(async () => {
    await server.gate.stop("shutdown", AbortSignal.timeout(5_000));
    disk[Symbol.dispose]();
  });

  async function open(): Promise<void> {
    errors = [];
    server = await openRecordedServer({
      generation: "v1",
      directory,
      disk: nodeFs,
      journal: {
        limits: { segmentBytes: 16_384, reserveBytes: 32_768 },
        log: { debug: quiet, info: quiet, warn: quiet, error: (message) => errors.push(message) },
      },
    });
  }

  /** Decisions on the disk that let a call run. */
  function recorded(events: readonly CountersignEvent[] = readJournal(directory)): number {
    return events.filter(
      (event) =>
        kindOf(event.type) === "decision" &&
        (event as { data: { effect: string } }).data.effect === "run",
    ).length;
  }

  /** Calls until `count` were refused. */
  async function refusals(count: number): Promise<number> {
    let refused = 0;
    for (let call = 0; refused < count && call < 2_000; call++) {
      const { isError, content } = await server.call();
      if (isError !== true) continue;
      refused += 1;
      expect(content[0]?.text).toBe(NOT_RECORDED);
    }
    return refused;
  }

  async function runsAgain(): Promise<void> {
    const before = server.effects.length;
    for (let call = 0; server.effects.length < before + 3 && call < 2_000; call++) {
      await server.call();
    }
    expect(server.effects.length).toBe(before + 3);
  }

  async function corrupt(): Promise<unknown[]> {
    const { findings } = await verifyJournal(directory);
    return findings.filter(({ kind }) => kind === "corrupt");
  }

  test("full: calls are refused, `stop` goes to the reserve, and with room they run again", async () => {
    await server.call();
    const filler = join(disk.path, "filler");
    fill(filler);
    expect(await refusals(20)).toBe(20);
    expect(server.effects.length).toBeGreaterThan(0);
    expect(recorded()).toBeGreaterThanOrEqual(server.effects.length);
    expect(errors.join("\n")).toContain("ENOSPC");

    rmSync(filler);
    await runsAgain();
    fill(filler);
    await refusals(20);
    const { length } = server.effects;
    await server.gate.stop("shutdown", AbortSignal.timeout(5_000));
    const events = readJournal(directory);
    expect(recorded(events)).toBeGreaterThanOrEqual(length);
    expect(kindOf(events.at(-1)?.type ?? "")).toBe("stop");
    const denied = events
      .filter((event): event is StartEvent => kindOf(event.type) === "start")
      .reduce((sum, { data }) => sum + (data.auditDenied ?? 0), 0);
    expect(denied).toBeGreaterThanOrEqual(40);
    expect(await corrupt()).toEqual([]);
  });

  test("out of inodes: the next segment cannot be made, calls are refused, and what is there stays", async () => {
    await server.call();
    const fillers: string[] = [];
    const more = (): void => {
      const path = join(disk.path, `file-${fillers.length}`);
      writeFileSync(path, "");
      fillers.push(path);
    };
    expect(() => {
      for (;;) more();
    }).toThrow("ENOSPC");
    expect(await refusals(20)).toBe(20);
    expect(errors.join("\n")).toContain("ENOSPC");
    expect(recorded()).toBeGreaterThanOrEqual(server.effects.length);
    for (const path of fillers) rmSync(path);
    await runsAgain();
    expect(recorded()).toBeGreaterThanOrEqual(server.effects.length);
    expect(await corrupt()).toEqual([]);
  });

  test("read-only: no call runs, and what is there can be looked at", async () => {
    await server.call();
    await server.gate.stop("shutdown", AbortSignal.timeout(5_000));
    const before = recorded();
    disk.remount("ro");
    await open();
    expect(await refusals(5)).toBe(5);
    expect(server.effects).toEqual([]);
    expect(errors.join("\n")).toContain("EROFS");
    expect(recorded()).toBe(before);
    expect(await listEpochs(directory)).toHaveLength(1);
    expect(await corrupt()).toEqual([]);
    disk.remount("rw");
    await runsAgain();
  });
});

/** Takes what space there is, but for some events. */
function fill(path: string): void {
  const piece = Buffer.alloc(4_096);
  let bytes = 0;
  try {
    for (; ; bytes += piece.length) writeFileSync(path, piece, { flag: "a" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
  truncateSync(path, Math.max(0, bytes - 16_384));
}
