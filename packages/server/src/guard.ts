import { readFileSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { type Gate, openGate } from "@countersign/gate";
import { CountersignError, stderrLogger } from "@countersign/model";
import { type Child, type SpawnFailure, spawnChild } from "./adapters/stdio-proxy/child.ts";
import { type ProxyLimits, createProxy } from "./adapters/stdio-proxy/proxy.ts";
import { type Report, createReport } from "./adapters/stdio-proxy/report.ts";
import { isNetwork } from "./adapters/transport.ts";
import { serverEnvironment } from "./adapters/stdio-proxy/secrets.ts";
import { createEnforcer } from "./enforce.ts";
import { startTelemetry } from "./telemetry.ts";

/** Options of {@link runGuard}. Everything but `command` and `policy` has the default of a command line program. */
export interface GuardOptions {
  /** The server to run, without a shell. */
  readonly command: string;
  readonly args?: readonly string[];
  /** Policy file. */
  readonly policy: string;
  /** Journal directory. Default: `COUNTERSIGN_JOURNAL`, else `journal/` in the state directory. */
  readonly journal?: string;
  /** Where events are shipped to (OTLP/HTTP). Default: `COUNTERSIGN_OTLP_ENDPOINT`; without it they stay in the journal. */
  readonly otlp?: string;
  /** Credentials for the server alone: `NAME=env:VARIABLE` or `NAME=file:PATH`. */
  readonly secrets?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** Emits SIGTERM, SIGINT and SIGHUP. Default: this process. */
  readonly signals?: NodeJS.EventEmitter;
  /** Time between the end of the input and SIGTERM to the server. Default 1,500. */
  readonly graceMs?: number;
  /** Time between a signal to the server and SIGKILL. Default 1,500. */
  readonly killMs?: number;
  readonly limits?: Partial<ProxyLimits>;
}

/**
 * SDK clients end a STDIO server by closing its input, SIGTERM 2 s later, SIGKILL 2 s after that (MCP, lifecycle). The
 * guard must be through with its child, and with its journal, before it is killed itself.
 */
const GRACE_MS = 1_500;
const KILL_MS = 1_500;
/** What the journal and its shipper get for a clean end. */
const STOP_MS = 1_000;
/** A grandchild may hold the server's stdout open; what the server itself wrote is there by then. */
const DRAIN_MS = 500;

const EXIT_NO_INPUT = 66;
const EXIT_UNAVAILABLE = 69;
const SIGNALS: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGHUP"];

/**
 * Runs a STDIO MCP server behind the gate until it ends. No request reaches it before its decision is durable.
 * @returns the exit code: the server's own; 128 + n when a signal ended it; 66 or 69 when it could not be started
 * @throws CountersignError CONFIG_INVALID for a policy or a secret that cannot be used, or an input that is a network connection; then nothing was started
 */
export async function runGuard(options: GuardOptions): Promise<number> {
  const env = options.env ?? process.env;
  const stderr = options.stderr ?? process.stderr;
  if (isNetwork(options.stdin ?? process.stdin)) {
    // Whoever connected would act as the account that runs the guard (inetd, systemd sockets).
    throw new CountersignError(
      "CONFIG_INVALID",
      "guard: standard input is a network connection. The guard serves the process that starts it; run it from there.",
    );
  }
  const childEnv = serverEnvironment(env, {
    secrets: options.secrets ?? [],
    policyText: readPolicy(options.policy),
  });
  const log = stderrLogger("guard");
  const gate = await openGate({
    policyFile: options.policy,
    gate: "guard",
    coverage: () => ({ sdks: [] }),
    env,
    log,
    ...(options.journal === undefined ? {} : { journal: options.journal }),
    ...(options.otlp === undefined ? {} : { otlp: options.otlp }),
  });
  const report = createReport((line) => void stderr.write(`countersign guard: ${line}\n`));
  const child = await spawnChild({
    command: options.command,
    args: options.args ?? [],
    env: childEnv,
    stderr,
    graceMs: options.graceMs ?? GRACE_MS,
    killMs: options.killMs ?? KILL_MS,
  });
  if (!("exitCode" in child)) return await notStarted(options.command, child, { gate, stderr });
  const telemetry = await startTelemetry({
    serviceName: gate.policy.server,
    attributes: { "countersign.tenant": gate.policy.tenant },
    log,
    env,
  });
  const exitCode = await serve(child, { options, gate, report });
  await telemetry?.shutdown();
  return exitCode;
}

/** A file that cannot be read is for `openGate` to report, with what to do about it. */
function readPolicy(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

async function notStarted(
  command: string,
  { missing, code }: SpawnFailure,
  { gate, stderr }: { gate: Gate; stderr: Writable },
): Promise<number> {
  const todo = missing ? "check the command after `--`, its path and its permissions" : "try again";
  stderr.write(
    `countersign guard: the server ${JSON.stringify(command)} could not be started (${code}): ${todo}\n`,
  );
  await gate.stop("fatal", AbortSignal.timeout(STOP_MS));
  return missing ? EXIT_NO_INPUT : EXIT_UNAVAILABLE;
}

interface Running {
  readonly options: GuardOptions;
  readonly gate: Gate;
  readonly report: Report;
}

async function serve(child: Child, { options, gate, report }: Running): Promise<number> {
  const stdin = options.stdin ?? process.stdin;
  const proxy = createProxy({
    enforcer: createEnforcer(gate),
    client: { input: stdin, output: options.stdout ?? process.stdout },
    server: { input: child.stdin, output: child.stdout },
    report,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    count: (what) => gate.count(what),
  });
  let reason: "shutdown" | "stdin_closed" | "signal" = "shutdown";
  const closing = async (): Promise<void> => {
    await proxy.inputEnded;
    if (reason === "shutdown") reason = "stdin_closed";
    child.expectExit();
  };
  void closing();
  const signals = onSignals(options.signals ?? process, (name) => {
    reason = "signal";
    child.signal(name);
  });
  const exitCode = await child.exitCode;
  const endedBy = reason;
  await proxy.drained(DRAIN_MS);
  child.stdout.destroy();
  await proxy.serverGone();
  stdin.destroy();
  await gate.stop(endedBy, AbortSignal.timeout(STOP_MS));
  signals.off();
  report.close();
  return exitCode;
}

function onSignals(
  source: NodeJS.EventEmitter,
  pass: (name: NodeJS.Signals) => void,
): { off(): void } {
  const listeners = SIGNALS.map((name) => [name, () => pass(name)] as const);
  for (const [name, listener] of listeners) source.on(name, listener);
  return { off: () => listeners.forEach(([name, listener]) => source.off(name, listener)) };
}
