import { open } from "node:fs/promises";
import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly output?: string;
}

/** `countersign policy init`: a skeleton from a live server. */
export function addPolicyInit(policy: Command, choose: Choose): void {
  policy
    .command("init")
    .summary("print a skeleton for a live server")
    .description(
      "Asks a STDIO server for its tools, resources and prompts and prints a policy that denies all of them: " +
        "each is a comment for you to complete.",
    )
    .option("--output <file>", "write there instead of stdout; an existing file is left alone")
    .argument("<command>", "the server to ask")
    .argument("[args...]", "its arguments")
    .passThroughOptions()
    .addHelpText(
      "after",
      example(
        "countersign policy init -- npx -y @modelcontextprotocol/server-filesystem /srv > policy.yaml",
      ),
    )
    .action((command: string, args: string[], flags: Flags) =>
      choose((terminal) => policyInit([command, ...args], flags, terminal)),
    );
}

async function policyInit(
  [command, ...args]: readonly string[],
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const { openStdioSession } = await import("../mcp/stdio-session.ts");
  const { askOffer } = await import("../mcp/offer.ts");
  const { policySkeleton } = await import("../mcp/skeleton.ts");
  const session = await openStdioSession(command as string, args);
  try {
    const offer = await askOffer(session);
    const text = policySkeleton(serverId(session.server.name), offer);
    if (flags.output === undefined) terminal.out(text.trimEnd());
    else await writeNew(flags.output, text);
    terminal.err(
      `${offer.tools.length} tools, ${offer.resources.length + offer.templates.length} resources, ` +
        `${offer.prompts.length} prompts; all denied until you map them`,
    );
    return EXIT.done;
  } finally {
    await session.close();
  }
}

/** The server's own name as an id; what an id cannot hold becomes a dash. */
function serverId(name = "server"): string {
  const slug = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
  return `urn:mcp:${slug.slice(0, 63) || "server"}`;
}

async function writeNew(file: string, text: string): Promise<void> {
  try {
    const handle = await open(file, "wx", 0o644);
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") {
      throw new CliError(
        EXIT.cannotWrite,
        `policy init: ${file} exists; remove it or choose another`,
      );
    }
    throw error;
  }
}
