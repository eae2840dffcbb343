import { join } from "node:path";
import { CliError, EXIT } from "../exit.ts";
import { type Children, sourceConditions } from "./children.ts";
import type { AttemptedStep } from "./verdicts.ts";

/** What the agent process needs to know. */
export interface AgentOptions {
  readonly demo: string;
  readonly human: string;
  /** The state directory with the human's login. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** A human's session: every step attempted, and how many lists were asked for. */
export interface AgentReport {
  readonly steps: readonly AttemptedStep[];
  readonly lists: number;
}

/** Runs the agent for one human, to its end. Rejects with its last words when it fails. */
export async function runAgent(children: Children, options: AgentOptions): Promise<AgentReport> {
  const { demo, human, env, directory } = options;
  const child = children.start({
    name: `agent-${human}`,
    args: ["--import", "@countersign/client/register", join(demo, "agent.ts")],
    cwd: demo,
    env: {
      ...env,
      COUNTERSIGN_STATE_DIR: directory,
      COUNTERSIGN_CREDENTIAL: JSON.stringify(credentialCommand()),
      DEMO_HUMAN: human,
    },
  });
  const steps: AttemptedStep[] = [];
  let lists = 0;
  for await (const line of child.lines) {
    const report = JSON.parse(line) as AttemptedStep | { listed: number };
    if ("listed" in report) lists += 1;
    else steps.push(report);
  }
  const code = await child.exited;
  if (code === 0) return { steps, lists };
  throw new CliError(
    EXIT.failed,
    [
      `the agent for ${human} failed (exit ${code}):`,
      ...child.lastWords().map((words) => `  ${words}`),
    ].join("\n"),
  );
}

/** What prints the human's credential: `countersign credential`, by the file that this command started from. */
function credentialCommand(): readonly string[] {
  return [process.execPath, ...sourceConditions(), process.argv[1] ?? "", "credential"];
}
