import { type Command, Option } from "commander";
import { type Choose, example, journalOption, policyOption } from "../command.ts";
import { requireInput } from "../input.ts";

interface Flags {
  readonly policy: string;
  readonly journal?: string;
  readonly otlp?: string;
  readonly secret: readonly string[];
}

/** `countersign guard`: a STDIO server of others behind the gate. */
export function addGuard(program: Command, choose: Choose): void {
  program
    .command("guard")
    .summary("run a STDIO MCP server behind the gate")
    .description(
      "Runs a STDIO MCP server, in any language and unchanged, behind the gate: no call reaches it before its " +
        "decision is durable. stdout carries JSON-RPC only.",
    )
    .addOption(policyOption().makeOptionMandatory())
    .addOption(journalOption())
    .addOption(
      new Option("--otlp <url>", "ship events to this OTLP/HTTP endpoint").env(
        "COUNTERSIGN_OTLP_ENDPOINT",
      ),
    )
    .addOption(secretOption())
    .argument("<command>", "the server to run")
    .argument("[args...]", "its arguments")
    .passThroughOptions()
    .addHelpText(
      "after",
      example(
        "countersign guard --policy files.yaml -- npx -y @modelcontextprotocol/server-filesystem /srv",
      ),
    )
    .action((command: string, args: string[], flags: Flags) =>
      choose(() => guard(command, args, flags)),
    );
}

function secretOption(): Option {
  return new Option(
    "--secret <name=source>",
    "a credential for the server alone, from env:VARIABLE or file:PATH; repeatable",
  )
    .argParser((value: string, all: string[]) => [...all, value])
    .default([], "none");
}

async function guard(command: string, args: string[], flags: Flags): Promise<number> {
  await requireInput(flags.policy);
  const { runGuard } = await import("@countersign/server/guard");
  const { policy, journal, otlp, secret } = flags;
  return runGuard({
    command,
    args,
    policy,
    ...(journal === undefined ? {} : { journal }),
    ...(otlp === undefined ? {} : { otlp }),
    secrets: secret,
  });
}
