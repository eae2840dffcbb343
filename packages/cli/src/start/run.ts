import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type ArchivedDecision, type ConsoleClient, openConsoleClient } from "../console-client.ts";
import { EXIT } from "../exit.ts";
import { untilSignal } from "../signals.ts";
import type { Terminal } from "../terminal.ts";
import { type AgentReport, runAgent } from "./agent.ts";
import { type Children, createChildren } from "./children.ts";
import { type DemoProcessor, startProcessor } from "./processor.ts";
import { startIdp } from "./idp.ts";
import { createReporter, type Reporter } from "./report.ts";
import { logIn } from "./login.ts";
import { startSpicedb } from "./spicedb.ts";
import { type DemoState, openState } from "./state.ts";
import { callsOnly, judge } from "./verdicts.ts";

/** What `countersign start` was asked for. */
export interface DemonstrationOptions {
  /** The directory of the demonstration in the checkout. */
  readonly demo: string;
  readonly once: boolean;
  readonly json: boolean;
  /** Where everything is kept; chosen by `openState` when absent. */
  readonly directory?: string;
  /** The page of a processor that runs already. */
  readonly page?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly terminal: Terminal;
}

const DEFAULT_OTLP = "http://127.0.0.1:4318";
const HUMANS = ["alice", "bob"] as const;
const ENGINES = {
  endpoint: "the SpiceDB of COUNTERSIGN_SPICEDB_ENDPOINT",
  binary: "the spicedb on PATH",
  embedded: "the npm-packaged SpiceDB",
} as const;
/** From the last call to its record in the archive. */
const ARCHIVE_TIMEOUT_MS = 20_000;

/** Runs the demonstration and resolves with the exit code. Whatever happens, what it started is ended. */
export async function runDemonstration(options: DemonstrationOptions): Promise<number> {
  const reporter = createReporter(options.terminal, options.json);
  const state = openState(options.directory, options.once);
  const children = createChildren(join(state.directory, "logs"));
  const interrupt = untilSignal(() => children.kill());
  try {
    const run = new Demonstration({ ...options, reporter, state, children });
    const finished = await Promise.race([run.perform(), aborted(interrupt.signal)]);
    if (finished === undefined) return EXIT.interrupted;
    if (!options.once) await aborted(interrupt.signal);
    return finished ? EXIT.done : EXIT.failed;
  } finally {
    await children.stop();
    state.remove();
    interrupt.dispose();
  }
}

interface Setting extends DemonstrationOptions {
  readonly reporter: Reporter;
  readonly state: DemoState;
  readonly children: Children;
}

class Demonstration {
  readonly #set: Setting;
  readonly #decisions: ArchivedDecision[] = [];

  constructor(setting: Setting) {
    this.#set = setting;
  }

  /** True when every verdict was the expected one. */
  async perform(): Promise<boolean> {
    const { reporter, env, children, demo, state } = this.#set;
    const token = env["COUNTERSIGN_SPICEDB_TOKEN"] || randomBytes(24).toString("hex");
    const shared = { ...env, COUNTERSIGN_SPICEDB_TOKEN: token, DEMO_FILES: state.files };
    reporter.progress("starting SpiceDB");
    const spicedb = await startSpicedb(children, demo, shared);
    reporter.progress(`SpiceDB answers at ${spicedb.endpoint} (${ENGINES[spicedb.engine]})`);
    const issuer = await this.#logIn(shared);
    const processor = await this.#processor();
    this.#introduce(spicedb.engine, issuer);
    const following = new AbortController();
    const client = openConsoleClient(processor.page);
    const before = await client.size();
    // A stream that breaks is seen as decisions that never come.
    const followed = client
      .follow(before, (rows) => this.#take(rows), following.signal)
      .catch(() => {});
    const agentEnv = {
      ...shared,
      DEMO_SPICEDB: spicedb.endpoint,
      DEMO_ISSUER: issuer,
      DEMO_COUNTERSIGN: process.argv[1],
      COUNTERSIGN_OTLP_ENDPOINT: processor.otlp,
      OTEL_EXPORTER_OTLP_ENDPOINT: processor.otlp,
      OTEL_SERVICE_NAME: "demo-agent",
    };
    const reports: AgentReport[] = [];
    for (const human of HUMANS)
      reports.push(
        await runAgent(children, { demo, human, directory: state.login(human), env: agentEnv }),
      );
    const result = await this.#conclude(client, before, reports);
    following.abort();
    await followed;
    if (this.#set.once) reporter.kept(state.directory);
    else reporter.page(processor.page);
    return result;
  }

  async #processor(): Promise<DemoProcessor> {
    const { reporter, state, env, children, demo, page } = this.#set;
    if (page !== undefined) {
      return { page, otlp: env["COUNTERSIGN_OTLP_ENDPOINT"] || DEFAULT_OTLP, notes: [] };
    }
    reporter.progress("starting the processor");
    const config = join(demo, "..", "..", "config", "embedded.yaml");
    const processor = await startProcessor(children, { config, directory: state.directory, env });
    for (const note of processor.notes) reporter.note(note);
    return processor;
  }

  /** Starts the identity provider, and everybody logs in there. */
  async #logIn(env: Readonly<Record<string, string | undefined>>): Promise<string> {
    const { reporter, children, demo, state } = this.#set;
    reporter.progress("starting the identity provider");
    const issuer = await startIdp(children, demo, env);
    reporter.progress(`${HUMANS.join(" and ")} log in at ${issuer}`);
    const logins = await Promise.all(
      HUMANS.map((human) =>
        logIn(children, { demo, human, issuer, directory: state.login(human), env }),
      ),
    );
    for (const login of logins) reporter.login(login);
    return issuer;
  }

  #introduce(engine: keyof typeof ENGINES, issuer: string): void {
    this.#set.reporter.note(
      `Authorization by ${ENGINES[engine]}. ${HUMANS.join(" and ")} have logged in at ${issuer}, an OpenID provider on this ` +
        "machine. The protocol, keys, tokens and proofs are real; the people are not, and a program fills the forms for them. " +
        "The agent signs every call to the ticket server (call_bound); the guard proves the login for a server and a host that " +
        "know nothing of it (token_bound).",
    );
  }

  #take(rows: readonly ArchivedDecision[]): void {
    for (const row of rows) {
      this.#decisions.push(row);
      this.#set.reporter.decision(row);
    }
  }

  /** Waits until the archive has all that this run made, then judges. */
  async #conclude(
    client: ConsoleClient,
    before: number,
    reports: readonly AgentReport[],
  ): Promise<boolean> {
    const steps = reports.flatMap((report) => report.steps);
    const lists = reports.reduce((sum, report) => sum + report.lists, 0);
    const until = Date.now() + ARCHIVE_TIMEOUT_MS;
    const expected = (): number =>
      expectedEvents(callsOnly(this.#decisions), lists, reports.length);
    let events = 0;
    for (;;) {
      events = (await client.size()) - before;
      const decided = callsOnly(this.#decisions).length >= steps.length;
      if ((decided && events >= expected()) || Date.now() > until) break;
      await delay(100);
    }
    const verdicts = judge(steps, this.#decisions);
    this.#set.reporter.summary(verdicts, { events, expected: expected() });
    return verdicts.wrong.length === 0 && events >= expected();
  }
}

/** A decision per call and list, an outcome per call that ran, a start and a stop for each of the two servers of a human. */
function expectedEvents(calls: readonly ArchivedDecision[], lists: number, humans: number): number {
  const ran = calls.filter(({ effect }) => effect === "run").length;
  return calls.length + ran + lists + 2 * 2 * humans;
}

function aborted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}
