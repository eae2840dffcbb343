import type { Explanation } from "@countersign/gate";
import { MAX_DOCUMENT_BYTES as MAX_POLICY_BYTES } from "@countersign/model/document";
import type { Command } from "commander";
import { type Choose, example, policyOption } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import { readInput, readStandardInput } from "../input.ts";
import { shown, type Terminal } from "../terminal.ts";

interface Flags {
  readonly policy: string;
  readonly call: string;
  readonly json?: true;
}

/** A JSON-RPC request on the wire is at most a line of this many bytes (as for the guard). */
const MAX_CALL_BYTES = 4 * 1024 * 1024;

/** `countersign policy explain`: which checks one request would make. */
export function addPolicyExplain(policy: Command, choose: Choose): void {
  policy
    .command("explain")
    .summary("show the checks that one request would make")
    .description(
      "For one JSON-RPC request: the checks that it would make, and why. Asks no authorizer and decides nothing.",
    )
    .addOption(policyOption().makeOptionMandatory())
    .requiredOption("--call <file>", "the JSON-RPC request; - reads standard input")
    .option("--json", "print the explanation as JSON")
    .addHelpText(
      "after",
      example("countersign policy explain --policy policy.yaml --call request.json"),
    )
    .action((flags: Flags) => choose((terminal) => policyExplain(flags, terminal)));
}

async function policyExplain(flags: Flags, terminal: Terminal): Promise<number> {
  const { explain, loadPolicy } = await import("@countersign/gate");
  const { policy } = loadPolicy(await readInput(flags.policy, MAX_POLICY_BYTES), flags.policy);
  const explanation = explain(policy, await readCall(flags.call));
  if (flags.json) {
    terminal.out(JSON.stringify(explanation, undefined, 2));
    return EXIT.done;
  }
  for (const line of linesOf(explanation)) terminal.out(shown(line));
  return EXIT.done;
}

function linesOf(explanation: Explanation): string[] {
  const { method, rules, minimum, checks, denied, why } = explanation;
  return [
    `method    ${method || "(none)"}`,
    `rule      ${rules.join(", ") || "(none)"}`,
    `human     at least ${minimum}`,
    ...checks.map(
      ({ permission, resource, subject, contextKeys = [] }) =>
        `check     has ${subject} permission ${permission} on ${resource.type}:${resource.id}` +
        (contextKeys.length === 0 ? "" : `, given ${contextKeys.join(", ")}`),
    ),
    ...(denied === undefined ? [] : [`denied    ${denied}, whoever asks`]),
    ...why.map((sentence) => `          ${sentence}`),
  ];
}

/** The request is the caller's text, so no error quotes it. */
async function readCall(file: string): Promise<object> {
  const text =
    file === "-" ? await readStandardInput(MAX_CALL_BYTES) : await readInput(file, MAX_CALL_BYTES);
  let call: unknown;
  try {
    call = JSON.parse(text);
  } catch {
    // told below, without its text
  }
  if (typeof call === "object" && call !== null && !Array.isArray(call)) return call;
  const place = file === "-" ? "standard input" : file;
  throw new CliError(EXIT.failed, `policy explain: ${place} is not one JSON-RPC request`);
}
