import { Option } from "commander";
import type { Terminal } from "./terminal.ts";

/** What a command does once its arguments are understood; resolves with the exit code. */
export type Action = (terminal: Terminal) => Promise<number>;

/** Called by the command that the arguments name. */
export type Choose = (action: Action) => void;

/** The text below a command's help. */
export function example(...lines: string[]): string {
  return `\nExample:\n${lines.map((line) => `  $ ${line}`).join("\n")}`;
}

/** `--policy`, or COUNTERSIGN_POLICY. */
export function policyOption(): Option {
  return new Option("--policy <file>", "the policy that decides").env("COUNTERSIGN_POLICY");
}

/** `--journal`, or COUNTERSIGN_JOURNAL. */
export function journalOption(): Option {
  return new Option("--journal <dir>", "the journal's directory").env("COUNTERSIGN_JOURNAL");
}
