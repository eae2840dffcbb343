import type { LoginStep, LoginSummary } from "@countersign/identity/login";
import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import { personalClaimsNote, summaryLines } from "../login-lines.ts";
import { untilSignal } from "../signals.ts";
import { shown, type Terminal } from "../terminal.ts";

interface Flags {
  readonly issuer: string;
  readonly clientId: string;
  readonly audience: readonly string[];
  readonly device?: true;
  readonly browser: boolean;
  readonly keychain: boolean;
  readonly json?: true;
}

/** `countersign login`: a human proves who they are, once a day. */
export function addLogin(program: Command, choose: Choose): void {
  program
    .command("login")
    .summary("log in: calls from this machine are then made in your name, provably")
    .description(
      "Logs you in at your identity provider, in the browser or by device flow, and keeps a login that is bound to a key of this " +
        "machine. Guards and agents here then act as you. An earlier login is replaced when this one is complete.",
    )
    .requiredOption("--issuer <url>", "the identity provider: https, or http on loopback")
    .requiredOption(
      "--client-id <id>",
      "the public client that is registered there for Countersign",
    )
    .option(
      "--audience <uri>",
      "a server that access tokens will be wanted for (repeatable)",
      (one: string, all: readonly string[]) => [...all, one],
      [] as readonly string[],
    )
    .option("--device", "confirm a code in a browser on any device")
    .option("--no-browser", "print the address instead of opening it")
    .option("--no-keychain", "keep the key in the login file, not in the keychain")
    .option("--json", "print what happens as JSON lines, the login last")
    .addHelpText(
      "after",
      example(
        "countersign login --issuer https://idp.example --client-id countersign-cli",
        "countersign login --issuer https://idp.example --client-id countersign-cli --device",
      ),
    )
    .action((flags: Flags) => choose((terminal) => logIn(flags, terminal)));
}

async function logIn(flags: Flags, terminal: Terminal): Promise<number> {
  const { login } = await import("@countersign/identity/login");
  const { signal, dispose } = untilSignal();
  try {
    const summary = await login(
      {
        issuer: flags.issuer,
        clientId: flags.clientId,
        audiences: flags.audience,
        by: flags.device === true ? "device" : flags.browser ? "browser" : "address",
        useKeychain: flags.keychain,
        tell: (step) => {
          if (flags.json) terminal.out(JSON.stringify(step));
          tell(step, terminal);
        },
      },
      signal,
    ).catch(asUsage);
    print(summary, flags, terminal);
    return EXIT.done;
  } finally {
    dispose();
  }
}

/** What cannot be an audience is a wrong argument, not a failed login. */
function asUsage(error: unknown): never {
  if ((error as { code?: unknown } | null)?.code === "INPUT_INVALID") {
    throw new CliError(EXIT.usage, (error as Error).message);
  }
  throw error;
}

function tell(step: LoginStep, terminal: Terminal): void {
  switch (step.kind) {
    case "address":
      terminal.err(
        step.opened
          ? "Log in in the browser that opens now. If none opens, go to:"
          : "To log in, open this address in a browser on this machine:",
      );
      terminal.err(shown(step.url));
      break;
    case "device":
      terminal.err("To log in, open this address in a browser on any device:");
      terminal.err(shown(step.completeUrl ?? step.url));
      terminal.err(`and confirm the code ${shown(step.code)}`);
      break;
    case "again":
      terminal.err(
        "The identity provider does not give this login offline access; once more, without.",
      );
      return;
    case "no_browser":
      if (terminal.interactive) terminal.err("No browser can be opened here.");
      return;
  }
  if (terminal.interactive) terminal.err("Waiting, for ten minutes at most (Ctrl-C ends it) …");
}

function print(summary: LoginSummary, { json }: Flags, terminal: Terminal): void {
  if (json) terminal.out(JSON.stringify({ kind: "login", ...summary }));
  else for (const line of ["Logged in.", ...summaryLines(summary)]) terminal.out(line);
  const note = personalClaimsNote(summary);
  if (note !== undefined) terminal.err(note);
}
