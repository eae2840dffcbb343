import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Finding } from "@countersign/server/doctor";
import type { Command } from "commander";
import { type Choose, example, journalOption, policyOption } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import { shown, table, type Terminal } from "../terminal.ts";

interface Flags {
  readonly policy?: string;
  readonly journal?: string;
  readonly json?: true;
}

/** `countersign doctor`: is a server here gated, and will its record arrive? */
export function addDoctor(program: Command, choose: Choose): void {
  program
    .command("doctor")
    .summary("check that this host is set up")
    .description(
      "Looks at this host: Node, the MCP SDK copies that the program here would load and whether each can be gated, " +
        "policy, how surely a call's human would be known, journal, authorizer, processor, clock. Exits 1 when something would stop or lose calls.",
    )
    .addOption(policyOption())
    .addOption(journalOption())
    .option("--json", "print the findings as JSON")
    .argument(
      "[program]",
      "the server's program, or its directory (default: the working directory)",
    )
    .addHelpText(
      "after",
      example("countersign doctor --policy policy.yaml", "countersign doctor --json ./server.js"),
    )
    .action((target: string | undefined, flags: Flags) =>
      choose((terminal) => doctor(target, flags, terminal)),
    );
}

async function doctor(
  target: string | undefined,
  flags: Flags,
  terminal: Terminal,
): Promise<number> {
  const { examine } = await import("@countersign/server/doctor");
  const findings = await examine({
    ...(flags.policy === undefined ? {} : { policy: flags.policy }),
    ...(target === undefined ? {} : { program: await programOf(target) }),
    env:
      flags.journal === undefined
        ? process.env
        : { ...process.env, COUNTERSIGN_JOURNAL: flags.journal },
  });
  const failed = findings.some(({ level }) => level === "fail");
  if (flags.json) terminal.out(JSON.stringify({ ok: !failed, findings }, undefined, 2));
  else for (const line of table(findings.flatMap(rows))) terminal.out(line);
  return failed ? EXIT.failed : EXIT.done;
}

/** A directory stands for any program in it. */
async function programOf(target: string): Promise<string> {
  try {
    return (await stat(target)).isDirectory() ? join(target, "index.js") : target;
  } catch {
    throw new CliError(EXIT.noInput, `cannot read ${target}: it is not there`);
  }
}

/** A policy with several problems is one finding of several lines. */
function rows({ id, level, message, fix }: Finding): string[][] {
  const [first = "", ...more] = message.split("\n");
  const last = fix === undefined ? [] : [fix];
  if (more.length === 0) return [[level, id, shown([first, ...last].join("; "))]];
  return [[level, id, shown(first)], ...[...more, ...last].map((line) => ["", "", shown(line)])];
}
