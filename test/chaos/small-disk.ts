// A disk of some hundred KiB, for tests that fill it: a tmpfs of its own, where mounting is permitted.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A mounted disk. */
export interface SmallDisk extends Disposable {
  readonly path: string;
  /** Changes what it was mounted with: `ro`, `size=1m`. */
  remount(options: string): void;
}

/** Whether disks can be mounted here; one loud line if not, on a machine of a developer as well as in CI: few are permitted to. */
export function canMount(): boolean {
  try {
    mountSmallDisk("size=64k")[Symbol.dispose]();
    return true;
  } catch {
    process.stderr.write(
      "\nSKIPPED, no small disk: mounting a tmpfs is not permitted here, it takes root\n\n",
    );
    return false;
  }
}

/** Mounts one. Whoever calls disposes of it. */
export function mountSmallDisk(options: string): SmallDisk {
  const path = mkdtempSync(join(tmpdir(), "countersign-small-disk-"));
  const mount = (using: string): void =>
    void execFileSync("mount", ["-t", "tmpfs", "-o", using, "countersign-test", path], {
      stdio: "pipe",
    });
  try {
    mount(`mode=0700,${options}`);
  } catch (error) {
    rmdirSync(path);
    throw error;
  }
  return {
    path,
    remount: (using) => mount(`remount,${using}`),
    [Symbol.dispose]: () => {
      // Lazily: whatever a failed test still holds open must not keep it mounted.
      execFileSync("umount", ["--lazy", path], { stdio: "pipe" });
      rmdirSync(path);
    },
  };
}
