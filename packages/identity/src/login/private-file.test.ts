import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withLock } from "./lock.ts";
import { ensurePrivateDirectory, removeFile, writePrivate } from "./private-file.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "private-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function refusal(work: Promise<unknown>): Promise<{ message: string; system: unknown }> {
  const error: unknown = await work.then(
    () => expect.unreachable("it was written"),
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: "CountersignError", code: "UNAVAILABLE" });
  const { message, cause } = error as Error;
  return { message, system: (cause as NodeJS.ErrnoException).code };
}

describe("what cannot be written is said with its path and what to do, and why is known to the caller", () => {
  test("a file where a directory must be", async () => {
    const file = join(directory, "state");
    await writeFile(file, "");
    for (const [path, system] of [
      [join(file, "login"), "ENOTDIR"],
      [file, "EEXIST"],
    ] as const) {
      expect(await refusal(ensurePrivateDirectory(path))).toEqual({
        message: `identity/login: cannot write ${path} (${system}): a file is where a directory must be; move it, or set COUNTERSIGN_STATE_DIR to another directory`,
        system,
      });
    }
  });

  test.runIf(process.platform === "linux")("a directory that nobody may write", async () => {
    const { message } = await refusal(ensurePrivateDirectory("/sys/countersign"));
    expect(message).toMatch(
      /^identity\/login: cannot write \/sys\/countersign \((EACCES|EPERM|EROFS)\): make it writable for you, or set COUNTERSIGN_STATE_DIR/,
    );
  });

  test("a file that cannot be replaced, and nothing half-written stays", async () => {
    const file = join(directory, "login.json");
    await mkdir(file);
    const { message } = await refusal(writePrivate(file, "{}"));
    expect(message).toContain(`cannot write ${file} (`);
    expect(await readdir(directory)).toEqual(["login.json"]);
  });

  test("a file that cannot be removed", async () => {
    const { message } = await refusal(removeFile(directory));
    expect(message).toContain(`cannot write ${directory} (`);
  });

  test("a lock", async () => {
    const file = join(directory, "no", "login.lock");
    const never = new AbortController().signal;
    const { message } = await refusal(withLock(file, never, () => Promise.resolve()));
    expect(message).toContain(`cannot write ${file} (ENOENT)`);
  });
});
