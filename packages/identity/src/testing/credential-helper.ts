// A credential helper as a real program. It is strict: asked in any other form than agreed, it ends with 64. What it answers
// is what a test put beside it; each run leaves a line with what it was asked.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Credential } from "../credential.ts";

/** A helper, and what it did. */
export interface TestHelper {
  readonly directory: string;
  readonly command: readonly string[];
  /** The questions so far, one for each run. */
  asked(): readonly { readonly audience: string; readonly resources: readonly string[] }[];
  /** What it does from now on: shell commands. */
  does(script: string): void;
  /** It prints this text and ends with this code. */
  prints(text: string, exitCode?: number): void;
  /** It prints this credential in the right form; `changes` replace members of `status`, `top` those around it. */
  gives(credential: Credential, changes?: object, top?: object): void;
  remove(): void;
}

const PROGRAM = `#!/bin/sh
here=$(dirname "$0")
case "$COUNTERSIGN_EXEC_INFO" in
'{"apiVersion":"dev.countersign/v1","kind":"ExecCredential","spec":{"audience":"'*'","resources":['*']}}') ;;
*) exit 64 ;;
esac
[ "$#" = 2 ] && [ "$1" = "an argument" ] && [ "$2" = '$(id);*' ] || exit 64
read -r line && exit 65
printf '%s\\n' "$COUNTERSIGN_EXEC_INFO" >> "$here/asked"
. "$here/does"
`;

/** Makes one that knows nobody. */
export function testHelper(): TestHelper {
  const directory = mkdtempSync(join(tmpdir(), "helper-"));
  const program = join(directory, "helper.sh");
  writeFileSync(program, PROGRAM);
  chmodSync(program, 0o700);
  const asked = join(directory, "asked");
  const self: TestHelper = {
    directory,
    command: [program, "an argument", "$(id);*"],
    asked: () =>
      (existsSync(asked) ? readFileSync(asked, "utf8").trim().split("\n") : []).map(
        (line) => (JSON.parse(line) as { spec: ReturnType<TestHelper["asked"]>[number] }).spec,
      ),
    does: (script) => writeFileSync(join(directory, "does"), `${script}\n`),
    prints: (text, exitCode = 0) => {
      writeFileSync(join(directory, "output"), text);
      self.does(`cat "$here/output"; exit ${exitCode}`);
    },
    gives: ({ expiresAtMs, ...members }, changes = {}, top = {}) => {
      const expirationTimestamp = new Date(expiresAtMs).toISOString();
      const status = { ...members, expirationTimestamp, ...changes };
      const document = { apiVersion: "dev.countersign/v1", kind: "ExecCredential", status, ...top };
      self.prints(`${JSON.stringify(document)}\n`);
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
  self.does("exit 1");
  return self;
}
