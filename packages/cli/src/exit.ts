import { type ErrorCode, errorCode } from "@countersign/model";

/** Exit codes of the command (contract: command line). */
export const EXIT = {
  done: 0,
  failed: 1,
  interrupted: 2,
  usage: 64,
  noInput: 66,
  unavailable: 69,
  bug: 70,
  cannotWrite: 73,
  config: 78,
} as const;

/** A failure that a command has already put into words; `exitCode` is one of `EXIT`. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "CliError";
    this.exitCode = exitCode;
  }
}

const NO_INPUT = new Set(["ENOENT", "ENOTDIR", "EISDIR"]);
const CANNOT_WRITE = new Set(["EACCES", "EROFS", "ENOSPC", "EDQUOT", "EPERM"]);
/** Under an error of ours that says that something is not available: there is no input file that could be meant. */
const CANNOT_WRITE_CAUSES = new Set([
  ...CANNOT_WRITE,
  "EEXIST",
  "EFBIG",
  "EIO",
  "EISDIR",
  "ENAMETOOLONG",
  "ENOTDIR",
]);

const OF_CODE: Readonly<Record<ErrorCode, number>> = {
  CONFIG_INVALID: EXIT.config,
  INPUT_INVALID: EXIT.failed,
  REJECTED: EXIT.failed,
  OVERLOADED: EXIT.unavailable,
  UNAVAILABLE: EXIT.unavailable,
  CANCELLED: EXIT.interrupted,
  BUG: EXIT.bug,
};

/** The exit code that an error calls for. Unknown errors are our bug. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CliError) return error.exitCode;
  const code = errorCode(error);
  if (code === undefined) return systemExitCode(error);
  const isWrite =
    code === "UNAVAILABLE" && CANNOT_WRITE_CAUSES.has(systemCode((error as Error).cause));
  return isWrite ? EXIT.cannotWrite : OF_CODE[code];
}

function systemCode(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? "";
}

function systemExitCode(error: unknown): number {
  const code = systemCode(error);
  if (NO_INPUT.has(code)) return EXIT.noInput;
  if (CANNOT_WRITE.has(code)) return EXIT.cannotWrite;
  if (code === "EADDRINUSE") return EXIT.unavailable;
  return EXIT.bug;
}

/**
 * What to print for an error: our own errors word for word, since they carry no payload; of others only the kind, since
 * their text may quote what they choked on.
 */
export function describe(error: unknown): string {
  if (error instanceof CliError || errorCode(error) !== undefined) return (error as Error).message;
  const system = (error as NodeJS.ErrnoException | undefined)?.code;
  const name = error instanceof Error ? error.name : typeof error;
  return `internal error (${[name, system].filter(Boolean).join(", ")}); run again with COUNTERSIGN_DEBUG=1 for the stack`;
}
