import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeFs } from "./fs.ts";
import { acquireLease, isHeld, LEASE_STALE_MS } from "./lease.ts";
import { processState, thisProcess } from "./process-identity.ts";
import { decision, type Scratch, scratch, soon } from "./testing/journal-fixture.ts";

const LINUX = process.platform === "linux";

function place(s: Scratch, lease: object | string): string {
  const path = join(s.directory, "epoch");
  mkdirSync(path);
  const text = typeof lease === "string" ? lease : JSON.stringify(lease);
  writeFileSync(join(path, "lease.0"), text);
  return path;
}

test("one holder at a time, and a lease that was given back can be taken", async () => {
  using s = scratch();
  const first = await acquireLease(nodeFs, s.directory);
  expect(first).toBeDefined();
  expect(await acquireLease(nodeFs, s.directory)).toBeUndefined();
  expect(await isHeld(nodeFs, s.directory)).toBe(true);
  expect(await first?.renew()).toBe(true);
  await first?.release();
  expect(readdirSync(s.directory)).toEqual([]);
  expect(await first?.renew()).toBe(false);
  expect(await acquireLease(nodeFs, s.directory)).toBeDefined();
});

test("of many who want it at once at most one gets it", async () => {
  for (let round = 0; round < 20; round++) {
    using s = scratch();
    const leases = await Promise.all(
      Array.from({ length: 8 }, () => acquireLease(nodeFs, s.directory)),
    );
    expect(leases.filter((lease) => lease !== undefined).length).toBeLessThanOrEqual(1);
  }
});

test.runIf(LINUX)("the lease of a process that is gone is taken over", async () => {
  using s = scratch();
  const child = spawn(process.execPath, ["-e", ""], { stdio: "ignore" });
  const { pid } = child;
  await new Promise((resolve) => child.once("exit", resolve));
  const path = place(s, { ...thisProcess(), pid, startTime: "1" });
  expect(await isHeld(nodeFs, path)).toBe(false);
  const lease = await acquireLease(nodeFs, path);
  expect(readdirSync(path).toSorted()).toEqual(["lease.0", "lease.1"]);
  await lease?.release();
  expect(readdirSync(path)).toEqual([]);
});

test.runIf(LINUX)("a process id that was given again is not mistaken for the holder", async () => {
  using s = scratch();
  const path = place(s, { ...thisProcess(), startTime: "1" });
  expect(await isHeld(nodeFs, path)).toBe(false);
});

test.runIf(LINUX)("a holder from before the last boot is gone, whatever its process id", () => {
  const self = thisProcess();
  expect(processState({ ...self, boot: "another" })).toBe("gone");
  expect(processState(self)).toBe("running");
});

test.runIf(LINUX)(
  "a holder in another process-id namespace is judged by its age alone",
  async () => {
    using s = scratch();
    const path = place(s, { ...thisProcess(), pidNamespace: "pid:[1]" });
    expect(await isHeld(nodeFs, path)).toBe(true);
    const old = new Date(Date.now() - LEASE_STALE_MS - 1_000);
    utimesSync(join(path, "lease.0"), old, old);
    expect(await isHeld(nodeFs, path)).toBe(false);
  },
);

test("a lease that says nothing holds nothing", async () => {
  using s = scratch();
  const path = place(s, "");
  expect(await isHeld(nodeFs, path)).toBe(false);
});

test("a journal whose lease was taken while it slept ends its epoch instead of writing on", async () => {
  using s = scratch();
  const realNow = Date.now;
  const journal = s.journal({ emitter: "origin" });
  await journal.append(decision());
  const path = join(s.directory, "journal", "origin", "0000000001", "lease.0");
  writeFileSync(path, readFileSync(path, "utf8").replace(/"token":"\w+"/, '"token":"other"'));
  try {
    Date.now = () => realNow() + LEASE_STALE_MS;
    await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  } finally {
    Date.now = realNow;
  }
  await journal.stop("shutdown", soon());
});

test("two journals with one directory and one emitter: epochs overlap, neither touches the other's", async () => {
  using s = scratch();
  const [a, b] = [s.journal(), s.journal()];
  await Promise.all([a.append(decision()), b.append(decision())]);
  for (let n = 0; n < 10; n++) await Promise.all([a.append(decision()), b.append(decision())]);
  expect(a.status().emitter).toBe(b.status().emitter);
  expect(a.status().epoch).not.toBe(b.status().epoch);
  await a.stop("shutdown", soon());
  await b.append(decision());
  await b.stop("shutdown", soon());
  const lengths = [...(await s.stored()).values()].map((events) => events.length);
  expect(lengths.toSorted((x, y) => x - y)).toEqual([13, 14]);
});
