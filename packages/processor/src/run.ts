import { readFile } from "node:fs/promises";
import { errorCode, type Logger } from "@countersign/model";
import { formatProblem, type Problem } from "@countersign/model/document";
import { ConfigError } from "@countersign/pipeline";
import { type Environment, loadConfig, type UsableConfig } from "./configuration.ts";
import { loggersOf } from "./json-logger.ts";
import { createService, type Service } from "./service.ts";
import { startTelemetry } from "./telemetry.ts";

/** What `countersign processor` runs with. */
export interface RunOptions {
  readonly configFile: string;
  /** Aborts to drain and stop: the caller's SIGTERM and SIGINT. */
  readonly signal: AbortSignal;
  readonly env?: Environment;
  /** A logger for a component; default: standard error, as lines, or JSON with `COUNTERSIGN_LOG_FORMAT=json`. */
  readonly logger?: (component: string) => Logger;
  /** Called once when everything works: the place to print the console's address. */
  readonly started?: (service: Service) => void;
  /** Called with every problem of the configuration; default: a line of the log. */
  readonly problem?: (problem: Problem) => void;
  /** Called with what runs, but was surely not meant; default: a line of the log. */
  readonly warning?: (warning: Problem) => void;
}

/** Exit codes of the command line (sysexits where there is one). */
const EXIT = {
  done: 0,
  failed: 1,
  noInput: 66,
  unavailable: 69,
  bug: 70,
  cannotWrite: 73,
  config: 78,
} as const;

const CANNOT_WRITE: ReadonlySet<string> = new Set(
  ["EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "ENOTDIR", "EEXIST"], // EEXIST: a file where a directory should be
);

/**
 * Runs the service until `signal` aborts, then drains it. Resolves with an exit code: 0 stopped in order, 1 not everything
 * drained, 66 no such file, 69 something needed is not there (a port, the archive), 70 our bug, 73 cannot write, 78 configuration. Never rejects.
 */
export async function runProcessor(options: RunOptions): Promise<number> {
  const env = options.env ?? process.env;
  const logger = options.logger ?? loggersOf(env);
  const log = logger("processor");
  const usable = await readUsable(options, log);
  if (typeof usable === "number") return usable;
  const telemetry = await startTelemetry({ config: usable.config, env, log });
  const traced = telemetry === undefined ? {} : { trace: telemetry.trace };
  const { drainTimeoutMs } = usable.config;
  const code = await serve({ ...options, drainTimeoutMs }, log, () =>
    createService(usable.config, { logger, ...traced }),
  );
  await telemetry?.shutdown();
  return code;
}

async function serve(
  options: RunOptions & { readonly drainTimeoutMs: number },
  log: Logger,
  create: () => Service,
): Promise<number> {
  let service: Service;
  try {
    service = create();
    await service.start(options.signal);
  } catch (error) {
    log.error("cannot start", { reason: messageOf(error) });
    return exitOf(error);
  }
  log.info("running", service.endpoints);
  options.started?.(service);
  await untilAborted(options.signal);
  return await drain(service, log, options.drainTimeoutMs);
}

async function readUsable(options: RunOptions, log: Logger): Promise<UsableConfig | number> {
  const problem = options.problem ?? ((one: Problem): void => log.error(formatProblem(one)));
  const warning = options.warning ?? ((one: Problem): void => log.warn(formatProblem(one)));
  let text: string;
  try {
    text = await readFile(options.configFile, "utf8");
  } catch (error) {
    log.error("cannot read the configuration", {
      file: options.configFile,
      reason: (error as NodeJS.ErrnoException).code ?? "error",
    });
    return EXIT.noInput;
  }
  try {
    const usable = loadConfig(text, options.configFile, options.env);
    for (const one of usable.warnings) warning(one);
    return usable;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const one of error.problems) problem(one);
    return EXIT.config;
  }
}

async function drain(service: Service, log: Logger, drainTimeoutMs: number): Promise<number> {
  log.info("stopping");
  try {
    await service.stop(AbortSignal.timeout(drainTimeoutMs));
    log.info("stopped");
    return EXIT.done;
  } catch (error) {
    const reasons = error instanceof AggregateError ? error.errors : [error];
    for (const reason of reasons) log.error("did not stop in order", { reason: messageOf(reason) });
    return EXIT.failed;
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true }),
  );
}

function exitOf(error: unknown): number {
  const code = errorCode(error);
  if (code === "CONFIG_INVALID") return EXIT.config;
  if (code === "BUG") return EXIT.bug;
  if (code === undefined && CANNOT_WRITE.has(systemCode(error))) return EXIT.cannotWrite;
  return code === "CANCELLED" ? EXIT.done : EXIT.unavailable;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return "not an error";
  if (errorCode(error) !== undefined || !CANNOT_WRITE.has(systemCode(error))) return error.message;
  return `${error.message}; make it a directory that this user may write, or configure another`;
}

function systemCode(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? "";
}
