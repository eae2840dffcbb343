// The units for `countersign ship`: read by the system's own tool where there is one.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const units = join(import.meta.dirname, "..", "..", "deploy", "ship");
const service = join(units, "countersign-ship.service");
const plist = join(units, "dev.countersign.ship.plist");

function has(program: string): boolean {
  const there = spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
  if (!there) process.stderr.write(`\nSKIPPED, a unit is not read: no ${program} here\n\n`);
  return there;
}

test.skipIf(!has("systemd-analyze"))("systemd has nothing to say about the service", () => {
  const { status, stdout, stderr } = spawnSync(
    "systemd-analyze",
    ["verify", "--man=no", "--user", service],
    {
      encoding: "utf8",
      env: { ...process.env, XDG_RUNTIME_DIR: process.env["XDG_RUNTIME_DIR"] ?? "/tmp" },
    },
  );
  const about = `${stdout}${stderr}`
    .split("\n")
    .filter((line) => line.includes("countersign-ship"));
  expect(about).toEqual([]);
  expect(status).toBe(0);
});

test.skipIf(!has("python3"))("the property list is one, and names what the service does", () => {
  const read =
    "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
  const { stdout, stderr } = spawnSync("python3", ["-c", read, plist], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(JSON.parse(stdout)).toMatchObject({
    Label: "dev.countersign.ship",
    ProgramArguments: [expect.stringMatching(/^\/.*\/countersign$/), "ship"],
    EnvironmentVariables: { COUNTERSIGN_OTLP_ENDPOINT: expect.any(String) },
    KeepAlive: { SuccessfulExit: false },
    Umask: 0o077,
  });
});

test("the service starts the command that there is", () => {
  expect(readFileSync(service, "utf8")).toMatch(/^ExecStart=\/usr\/bin\/env countersign ship$/m);
});
