import type { LogoutResult } from "@countersign/identity/login";
import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { EXIT } from "../exit.ts";
import { untilSignal } from "../signals.ts";
import { shown, type Terminal } from "../terminal.ts";

interface Flags {
  readonly json?: true;
}

const PROBLEMS: Readonly<Record<NonNullable<LogoutResult["problem"]>, string>> = {
  no_revocation: "the identity provider has no revocation",
  refused: "the identity provider did not revoke it",
  unavailable: "the identity provider cannot be asked",
};

/** `countersign logout`: nothing is left here that could act in the human's name. */
export function addLogout(program: Command, choose: Choose): void {
  program
    .command("logout")
    .summary("end the login")
    .description(
      "Revokes the login's tokens at the identity provider if it can, and removes key and tokens from this machine even if it " +
        "cannot (then it says so; exits 69 when the identity provider does not answer).",
    )
    .option("--json", "print what was done as JSON")
    .addHelpText("after", example("countersign logout"))
    .action((flags: Flags) => choose((terminal) => logOut(flags, terminal)));
}

async function logOut({ json }: Flags, terminal: Terminal): Promise<number> {
  const { logout } = await import("@countersign/identity/login");
  const { signal, dispose } = untilSignal();
  const result = await logout({}, signal).finally(dispose);
  if (json) terminal.out(JSON.stringify({ loggedOut: result !== undefined, ...result }));
  if (result === undefined) {
    terminal.err("countersign: nobody is logged in");
    return EXIT.done;
  }
  if (!json) terminal.out(`Logged out: ${shown(result.subject)} of ${shown(result.issuer)}.`);
  if (result.problem !== undefined) {
    terminal.err(
      `countersign: the login is removed here, but not revoked: ${PROBLEMS[result.problem]}`,
    );
  }
  return result.problem === "unavailable" ? EXIT.unavailable : EXIT.done;
}
