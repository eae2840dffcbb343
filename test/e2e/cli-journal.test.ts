// `journal inspect`, `journal verify` and `ship` as commands, over a journal whose process is gone.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { decision, scratch, soon } from "../../packages/journal/src/testing/journal-fixture.ts";
import { startOtlpReceiver } from "../../packages/journal/src/testing/otlp-receiver.ts";
import { freePort } from "../free-port.ts";

const bin = join(import.meta.dirname, "..", "..", "packages", "cli", "bin", "countersign.js");

async function countersign(...args: string[]): Promise<{ status: unknown; stdout: string }> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  let stdout = "";
  for await (const chunk of child.stdout) stdout += String(chunk);
  return { status: await exited, stdout };
}

test("what a process left is listed, verified, shipped once, and gone", async () => {
  using s = scratch();
  const directory = join(s.directory, "journal");
  const journal = s.journal({ emitter: "origin" });
  for (let n = 0; n < 5; n++) await journal.append(decision());
  await journal.stop("shutdown", soon());

  const listed = await countersign("journal", "inspect", directory, "--json");
  expect(JSON.parse(listed.stdout)).toMatchObject([
    { emitter: "origin", epochNumber: 1, live: false, segments: 1, end: { end: "stop", seq: 6 } },
  ]);
  const verified = await countersign("journal", "verify", directory, "--json");
  expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true, records: 7, findings: [] });
  expect([listed.status, verified.status]).toEqual([0, 0]);

  const args = ["ship", "--journal", directory, "--once", "--json", "--otlp"];
  const nobody = await countersign(...args, `http://127.0.0.1:${await freePort()}`);
  expect(nobody.status).toBe(69);
  expect(JSON.parse(nobody.stdout)).toMatchObject({ shipped: 0, epochsLeft: 1 });

  const receiver = await startOtlpReceiver();
  const shipped = await countersign(...args, receiver.endpoint);
  expect(shipped).toMatchObject({ status: 0 });
  expect(JSON.parse(shipped.stdout)).toEqual({ shipped: 7, epochsLeft: 0, epochsHeld: 0 });
  const again = await countersign(...args, receiver.endpoint);
  expect(JSON.parse(again.stdout)).toEqual({ shipped: 0, epochsLeft: 0, epochsHeld: 0 });
  await receiver.stop();
  expect(receiver.violations).toEqual([]);
  expect(receiver.events().map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test("damage: verify says where and exits 1, ship leaves it, and what is no journal is 66", async () => {
  using s = scratch();
  const directory = join(s.directory, "journal");
  const journal = s.journal({ emitter: "origin" });
  for (let n = 0; n < 5; n++) await journal.append(decision(`tool_${n}`));
  await journal.stop("shutdown", soon());
  const path = join(directory, "origin", "0000000001", "00000000.wal");
  const bytes = readFileSync(path);
  const at = bytes.indexOf("tool_2");
  bytes[at] = (bytes[at] as number) ^ 1;
  writeFileSync(path, bytes);

  const verified = await countersign("journal", "verify", directory);
  expect(verified.status).toBe(1);
  expect(verified.stdout).toMatch(/^corrupt: origin\/0000000001\/00000000\.wal at \d+: /);
  expect(verified.stdout).not.toContain("tool_");
  const receiver = await startOtlpReceiver();
  const shipped = await countersign(
    "ship",
    "--journal",
    directory,
    "--once",
    "--otlp",
    receiver.endpoint,
  );
  await receiver.stop();
  expect(shipped.status).toBe(1);
  expect(readFileSync(path)).toEqual(bytes);
  expect(readdirSync(join(directory, "origin", "0000000001"))).toContain("00000000.wal");
  expect((await countersign("journal", "verify", join(s.directory, "none"))).status).toBe(66);
  expect((await countersign("ship", "--journal", directory)).status).toBe(64);
});
