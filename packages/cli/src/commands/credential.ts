import { EXEC_API_VERSION, errorCode } from "@countersign/model";
import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import { untilSignal } from "../signals.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly audience?: string;
  readonly resource: readonly string[];
}

interface Asked {
  readonly audience: string;
  readonly resources: readonly string[];
}

const MAX_RESOURCES = 16;
const MAX_CHARS = 2048;

/** `countersign credential`: what guards and agents run to act in the human's name (the kubectl pattern). */
export function addCredential(program: Command, choose: Choose): void {
  program
    .command("credential")
    .summary("print a short-lived credential, for guards and agents")
    .description(
      "Prints an ExecCredential: the login's best token for the audience, a fresh call key, and the login key's permission for it to " +
        "sign, for ten minutes at most. Programs ask through COUNTERSIGN_EXEC_INFO; options win. Nothing is printed, and the exit " +
        "code is 1, when nobody is logged in.",
    )
    .option("--audience <uri>", "the server: a policy's `server`, or a server's address")
    .option(
      "--resource <uri>",
      "what an access token may be for as well (repeatable)",
      (one: string, all: readonly string[]) => [...all, one],
      [] as readonly string[],
    )
    .addHelpText("after", example("countersign credential --audience urn:mcp:tickets"))
    .action((flags: Flags) => choose((terminal) => credential(flags, terminal)));
}

async function credential(flags: Flags, terminal: Terminal): Promise<number> {
  const asked = askedFor(flags, process.env["COUNTERSIGN_EXEC_INFO"]);
  const { issueCredential } = await import("@countersign/identity/login");
  const { signal, dispose } = untilSignal();
  try {
    const issued = await issueCredential(asked, signal).catch(asUnavailable);
    if (issued === undefined) {
      terminal.err(
        "countersign: nobody is logged in, or the login has ended or gives no token for this audience; run countersign login",
      );
      return EXIT.failed;
    }
    terminal.out(JSON.stringify(issued));
    return EXIT.done;
  } finally {
    dispose();
  }
}

/** Exit 1 says that nobody is logged in, and callers then look elsewhere: a refusal must not look like that. */
function asUnavailable(error: unknown): never {
  const code = errorCode(error);
  if (code === "REJECTED" || code === "INPUT_INVALID") {
    throw new CliError(EXIT.unavailable, (error as Error).message);
  }
  throw error;
}

function askedFor(flags: Flags, text: string | undefined): Asked {
  const info = text === undefined || text === "" ? {} : infoIn(text);
  const audience = flags.audience ?? info.audience;
  const resources = flags.resource.length > 0 ? flags.resource : (info.resources ?? []);
  if (audience === undefined) {
    throw new CliError(EXIT.usage, "credential: give --audience, or COUNTERSIGN_EXEC_INFO");
  }
  if (resources.length > MAX_RESOURCES || ![audience, ...resources].every(isName)) {
    throw new CliError(
      EXIT.usage,
      `credential: an audience or resource is 1 to ${MAX_CHARS} characters; at most ${MAX_RESOURCES} resources`,
    );
  }
  return { audience, resources };
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= MAX_CHARS;
}

/** Members that we do not know are skipped: a later guard may say more. */
function infoIn(text: string): Partial<Asked> {
  try {
    const { apiVersion, kind, spec } = JSON.parse(text) as Record<string, unknown>;
    const { audience, resources = [] } = spec as Record<string, unknown>;
    const isOurs = apiVersion === EXEC_API_VERSION && kind === "ExecCredential";
    if (isOurs && isName(audience) && Array.isArray(resources) && resources.every(isName)) {
      return { audience, resources };
    }
  } catch {
    // said below
  }
  throw new CliError(
    EXIT.usage,
    `credential: COUNTERSIGN_EXEC_INFO is no ExecCredential request of ${EXEC_API_VERSION}`,
  );
}
