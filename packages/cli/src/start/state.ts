import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CliError, EXIT } from "../exit.ts";

/** The directories of one run. */
export interface DemoState {
  /** Journals, archive, logs: everything that is ours. Kept after the run. */
  readonly directory: string;
  /** What the filesystem server may touch. It belongs to the tools, holds what they were told, and goes with the run. */
  readonly files: string;
  /** The state directory of one human's machine: login, journals. The login goes with the run. */
  login(human: string): string;
  /** Removes `files` and the logins. */
  remove(): void;
}

/** Only a directory with this file in it is ever emptied. */
const MARKER = ".countersign-demo";

/**
 * Makes the directories. `--once` without a directory of the user's choice begins afresh; otherwise what is there stays, so
 * that the archive grows from run to run.
 */
export function openState(chosen: string | undefined, once: boolean): DemoState {
  const directory = resolve(chosen ?? join(".countersign", once ? "once" : "start"));
  if (chosen === undefined && once && existsSync(directory)) empty(directory);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, MARKER), "Written by `countersign start`; safe to delete.\n");
  } catch (cause) {
    throw new CliError(
      EXIT.cannotWrite,
      `start: cannot write to ${directory}; choose another with --state`,
      { cause },
    );
  }
  const files = realpathSync(mkdtempSync(join(tmpdir(), "demo-")));
  writeFileSync(join(files, "handbook.txt"), "Be kind. Close tickets.\n");
  const machines = join(directory, "machines");
  return {
    directory,
    files,
    login: (human) => join(machines, human),
    remove: () => {
      rmSync(files, { recursive: true, force: true });
      for (const human of existsSync(machines) ? readdirSync(machines) : [])
        rmSync(join(machines, human, "login"), { recursive: true, force: true });
    },
  };
}

function empty(directory: string): void {
  if (!existsSync(join(directory, MARKER))) {
    throw new CliError(
      EXIT.cannotWrite,
      `start: ${directory} was not made by \`countersign start\`, so it is not emptied; choose another with --state`,
    );
  }
  rmSync(directory, { recursive: true });
}
