import { CountersignError } from "@countersign/model";

const ELSEWHERE = "set COUNTERSIGN_STATE_DIR to another directory";
const IN_THE_WAY = `a file is where a directory must be; move it, or ${ELSEWHERE}`;
const NOT_ALLOWED = `make it writable for you, or ${ELSEWHERE}`;
const FULL = `free some space, or ${ELSEWHERE}`;
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: NOT_ALLOWED,
  EPERM: NOT_ALLOWED,
  EROFS: NOT_ALLOWED,
  ENOTDIR: IN_THE_WAY,
  EEXIST: IN_THE_WAY,
  ENOSPC: FULL,
  EDQUOT: FULL,
};

/** What the system's refusal to write in the login store means for whoever logs in. The cause tells a command that this is why. */
export function cannotWrite(path: string, error: unknown): CountersignError {
  const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
  return new CountersignError(
    "UNAVAILABLE",
    `identity/login: cannot write ${path} (${code}): ${ADVICE[code] ?? ELSEWHERE}`,
    { cause: error },
  );
}
