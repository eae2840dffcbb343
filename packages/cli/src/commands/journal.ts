import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import { unlistable } from "../input.ts";
import { shown, table, type Terminal } from "../terminal.ts";

interface Flags {
  readonly json?: true;
}

/** `countersign journal`: what a journal holds, and whether it is whole. */
export function addJournal(program: Command, choose: Choose): void {
  const journal = program
    .command("journal")
    .summary("look at a journal, or verify it")
    .description("Looks at a journal from outside. Takes no lease and changes nothing.");
  journal
    .command("inspect")
    .summary("list its epochs")
    .description(
      "Lists the epochs of all emitters: what is on the disk, what was shipped, how each ended.",
    )
    .argument("<dir>", "the journal's directory")
    .option("--json", "print the list as JSON")
    .addHelpText("after", example("countersign journal inspect ~/.local/state/countersign/journal"))
    .action((directory: string, flags: Flags) =>
      choose((terminal) => inspect(directory, flags, terminal)),
    );
  journal
    .command("verify")
    .summary("check every frame, event and chain")
    .description(
      "Checks every frame, event and chain of a journal, and names file and offset of what is wrong. Repairs nothing. Exits 1 when " +
        "something is corrupt, or of a version that this build does not know; a torn tail and files of others are only told.",
    )
    .argument("<dir>", "the journal's directory")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      example("countersign journal verify ~/.local/state/countersign/journal --json"),
    )
    .action((directory: string, flags: Flags) =>
      choose((terminal) => verify(directory, flags, terminal)),
    );
}

async function inspect(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  requireDirectory("journal inspect", directory);
  const { emitterUses, listEpochs } = await import("@countersign/journal");
  const epochs = await listEpochs(directory);
  if (flags.json) {
    terminal.out(JSON.stringify(epochs));
    return EXIT.done;
  }
  const rows = epochs.map(({ emitter, epochNumber, live, segments, bytes, nextToShip, end }) => [
    emitter,
    String(epochNumber),
    live ? "held" : (end?.end ?? "not looked at"),
    String(segments),
    String(bytes),
    String(nextToShip ?? "-"),
    String(end?.seq ?? "-"),
  ]);
  const head = ["EMITTER", "EPOCH", "STATE", "SEGMENTS", "BYTES", "NEXT TO SHIP", "LAST"];
  for (const line of table([head, ...rows])) terminal.out(line);
  for (const { emitter, bytes, limitBytes } of emitterUses(epochs).filter(isAlmostFull)) {
    const percent = Math.floor((100 * bytes) / limitBytes);
    terminal.out(
      `warning: ${emitter} is ${percent} % full. When it is full, its calls are stopped.`,
    );
  }
  return EXIT.done;
}

function isAlmostFull({ almostFull }: { readonly almostFull: boolean }): boolean {
  return almostFull;
}

async function verify(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  requireDirectory("journal verify", directory);
  const { verifyJournal } = await import("@countersign/journal");
  const { epochs, segments, records, bytes, findings } = await verifyJournal(directory);
  const bad = findings.filter(({ kind }) => kind === "corrupt" || kind === "unknown").length;
  if (flags.json) {
    terminal.out(JSON.stringify({ ok: bad === 0, epochs, segments, records, bytes, findings }));
  } else {
    for (const { kind, file, offset, what } of findings) {
      terminal.out(`${kind}: ${shown(file)} at ${offset}: ${what}`);
    }
    terminal.out(
      `${records} records in ${segments} segments of ${epochs} epochs, ${bytes} bytes: ${bad === 0 ? "whole" : `${bad} findings`}`,
    );
  }
  return bad === 0 ? EXIT.done : EXIT.failed;
}

function requireDirectory(command: string, directory: string): void {
  const code = unlistable(directory);
  if (code === undefined) return;
  throw new CliError(EXIT.noInput, `${command}: cannot read the directory ${directory} (${code})`);
}
