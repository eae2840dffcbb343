import { mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Policy, createChecker, loadPolicy } from "@countersign/gate";
import { stateDirectory } from "@countersign/identity";
import { type EmitterUse, emitterUses, listEpochs } from "@countersign/journal";
import { errorCode } from "@countersign/model";
import type { Finding } from "./doctor-finding.ts";
import { examineIdentity } from "./doctor-identity.ts";
import { installedSdks, programIn } from "./sdk-copies.ts";

export type { Finding } from "./doctor-finding.ts";

/** What to look at. */
export interface DoctorOptions {
  /** The policy file. Default: `COUNTERSIGN_POLICY`. */
  readonly policy?: string;
  /** The server's program, or the directory it is in. Default: the working directory. */
  readonly program?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Bound of each question to a service. Default 3,000. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 3_000;
const MIN_NODE = [22, 15] as const;
const MIN_FREE_BYTES = 64 * 1_024 * 1_024;
const MAX_CLOCK_ERROR_MS = 5_000;

/** Is this host set up so that a server here is gated? Changes nothing that lasts. Never rejects. */
export async function examine(options: DoctorOptions = {}): Promise<readonly Finding[]> {
  const env = options.env ?? process.env;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const { findings, policy } = examinePolicy(options.policy ?? env["COUNTERSIGN_POLICY"], env);
  const rest = await Promise.all([
    examineSdks(options.program),
    policy === undefined ? [] : examineIdentity(policy, { env, timeoutMs }),
    policy === undefined ? [] : examineChecker(policy, timeoutMs),
    examineProcessor(env["COUNTERSIGN_OTLP_ENDPOINT"], timeoutMs),
  ]);
  const journal = await examineJournal(env);
  return [examineNode(process.versions.node), ...findings, journal, ...rest.flat()];
}

/** The Node floor of the product. */
export function examineNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const enough = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  return enough
    ? { id: "node", level: "ok", message: `Node ${version}` }
    : {
        id: "node",
        level: "fail",
        message: `Node ${version} is too old`,
        fix: "use Node 22.15 or later",
      };
}

function examinePolicy(
  file: string | undefined,
  env: NodeJS.ProcessEnv,
): { findings: Finding[]; policy?: Policy } {
  if (file === undefined || file === "") {
    const fix = "set COUNTERSIGN_POLICY, or pass --policy";
    return { findings: [{ id: "policy", level: "fail", message: "no policy file is named", fix }] };
  }
  try {
    const { policy } = loadPolicy(readFileSync(file, "utf8"), file, env);
    const message = `${resolve(file)}: ${policy.server}, ${policy.mode}, ${policy.digest}`;
    const observing = policy.mode === "observe";
    const finding: Finding = observing
      ? {
          id: "policy",
          level: "warn",
          message,
          fix: "observe runs what it would deny; set mode: enforce when ready",
        }
      : { id: "policy", level: "ok", message };
    return { findings: [finding], policy };
  } catch (error) {
    const message =
      errorCode(error) === undefined ? `cannot read ${file}` : (error as Error).message;
    return { findings: [{ id: "policy", level: "fail", message, fix: "correct the policy file" }] };
  }
}

async function examineSdks(program: string | undefined): Promise<Finding[]> {
  const copies = await installedSdks(resolve(program ?? programIn(process.cwd())));
  if (copies.length === 0) {
    const fix =
      "run this where the server is; a bundled server must call instrumentServer(), another language needs countersign guard";
    return [{ id: "sdk", level: "warn", message: "no MCP SDK can be resolved from here", fix }];
  }
  return copies.map(({ package: name, version, format, patchable }): Finding => {
    const copy = `${name}@${version} (${format})`;
    return patchable
      ? { id: "sdk", level: "ok", message: `${copy}: can be gated, proven by a blocked request` }
      : {
          id: "sdk",
          level: "fail",
          message: `${copy}: cannot be gated`,
          fix: "use a supported version, or countersign guard",
        };
  });
}

/** Where the journal of a process with this environment is. */
export function journalDirectory(env: NodeJS.ProcessEnv): string {
  return env["COUNTERSIGN_JOURNAL"] || join(stateDirectory(env), "journal");
}

async function examineJournal(env: NodeJS.ProcessEnv): Promise<Finding> {
  const directory = journalDirectory(env);
  const fix = "make it a writable directory on a local disk, or set COUNTERSIGN_STATE_DIR";
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const probe = mkdtempSync(join(directory, ".probe-"));
    writeFileSync(join(probe, "write"), "", { flush: true });
    rmSync(probe, { recursive: true });
    const { bavail, bsize } = statfsSync(directory);
    const free = bavail * bsize;
    const message = `${directory}: writable, ${Math.floor(free / 1_048_576)} MiB free`;
    const full = emitterUses(await listEpochs(directory)).find(({ almostFull }) => almostFull);
    if (full !== undefined && free >= MIN_FREE_BYTES) return fullJournal(directory, full);
    return free < MIN_FREE_BYTES
      ? { id: "journal", level: "fail", message, fix: "make room: without it every call is denied" }
      : { id: "journal", level: "ok", message };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    return { id: "journal", level: "fail", message: `${directory}: ${code}`, fix };
  }
}

function fullJournal(directory: string, { emitter, bytes, limitBytes }: EmitterUse): Finding {
  const percent = Math.floor((100 * bytes) / limitBytes);
  return {
    id: "journal",
    level: "warn",
    message: `${directory}: ${emitter} is ${percent} % full`,
    fix: "when it is full, its calls are stopped: see that the processor is reachable, or run countersign ship",
  };
}

async function examineChecker(policy: Policy, timeoutMs: number): Promise<Finding[]> {
  const checker = createChecker(policy.authorizer);
  try {
    const { ok, detail } = await checker.probe(AbortSignal.timeout(timeoutMs));
    const message = `${checker.engine}: ${detail}`;
    return [
      ok
        ? { id: "checker", level: "ok", message }
        : { id: "checker", level: "fail", message, fix: "calls are denied until it answers" },
    ];
  } finally {
    await checker.close();
  }
}

/** The processor's own clock is in its answer, to the second. */
async function examineProcessor(
  endpoint: string | undefined,
  timeoutMs: number,
): Promise<Finding[]> {
  if (endpoint === undefined || endpoint === "") {
    const fix = "set COUNTERSIGN_OTLP_ENDPOINT; until then events stay in the journal";
    return [{ id: "processor", level: "warn", message: "no processor is named", fix }];
  }
  try {
    const response = await fetch(
      new URL("v1/logs", endpoint.endsWith("/") ? endpoint : `${endpoint}/`),
      {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{"resourceLogs":[]}',
        signal: AbortSignal.timeout(timeoutMs),
      },
    );
    await response.arrayBuffer();
    return [reached(response.status), ...clock(response.headers.get("date"))];
  } catch {
    return [
      {
        id: "processor",
        level: "fail",
        message: `${endpoint} does not answer`,
        fix: "start the processor; the journal keeps what it cannot send",
      },
    ];
  }
}

function reached(status: number): Finding {
  if (status < 300) return { id: "processor", level: "ok", message: "reachable, accepts events" };
  const fix =
    status === 401 || status === 403
      ? "the credential is wrong: shipping stops"
      : "look at the processor's log";
  return { id: "processor", level: "fail", message: `answers ${status}`, fix };
}

function clock(date: string | null): Finding[] {
  const there = Date.parse(date ?? "");
  if (Number.isNaN(there)) return [];
  const errorMs = Math.abs(Date.now() - there);
  const message = `differs from the processor's by ${Math.round(errorMs / 1_000)} s`;
  return [
    errorMs > MAX_CLOCK_ERROR_MS
      ? {
          id: "clock",
          level: "warn",
          message,
          fix: "synchronise the clock; times in events are this host's",
        }
      : { id: "clock", level: "ok", message },
  ];
}
