// The app of detections before Splunk's own check of apps, which is all of Splunk that a package registry has.
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findService } from "./find.ts";

const found = findService("splunk-appinspect");
const program = found?.kind === "binary" ? found.path : undefined;
const run = promisify(execFile);
const app = "countersign_detections";
const shipped = join(import.meta.dirname, "..", "..", "deploy", "splunk", app);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "countersign-appinspect-"));
  cpSync(shipped, join(directory, app), { recursive: true });
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Summary {
  readonly success: number;
  readonly warning: number;
  readonly failure: number;
  readonly error: number;
}

async function inspected(): Promise<Summary> {
  const packed = join(directory, `${app}.tgz`);
  const report = join(directory, "report.json");
  await run("tar", ["-C", directory, "-czf", packed, app]);
  const options = ["--mode", "precert", "--data-format", "json", "--output-file", report];
  await run(program ?? "", ["inspect", packed, ...options], { cwd: directory });
  return (JSON.parse(readFileSync(report, "utf8")) as { summary: Summary }).summary;
}

describe.skipIf(program === undefined)("AppInspect", () => {
  test("has nothing to say about the app", async () => {
    const { success, ...more } = await inspected();
    expect(success).toBeGreaterThan(50);
    expect(more).toMatchObject({ warning: 0, failure: 0, error: 0 });
  });

  test("has something to say about an app that is none", async () => {
    writeFileSync(join(directory, app, "default", "app.conf"), "[ui]\nlabel = x\n");
    expect((await inspected()).failure).toBeGreaterThan(0);
  });
});
