import { errorCode, type Logger } from "@countersign/model";

/** What became of the question for the login of this process. */
export interface LoginReport {
  had(): void;
  nobody(): void;
  /** Of an error that is not ours nothing is said: it may quote anything. */
  failed(error: unknown): void;
}

/** One line when the answer is another one than before, however many calls there are. That there is a login is expected, and no news. */
export function createLoginReport(log: Logger): LoginReport {
  let last = "had";
  const changed = (now: string, say: () => void): void => {
    if (now === last) return;
    last = now;
    say();
  };
  return {
    had: () => changed("had", () => log.info("somebody is logged in")),
    nobody: () => changed("nobody", () => log.warn("nobody is logged in: run countersign login")),
    failed: (error) => {
      const because = errorCode(error) === undefined ? "it failed" : (error as Error).message;
      changed(`failed: ${because}`, () =>
        log.warn("the login of this process cannot be had", { because }),
      );
    },
  };
}
