import { readFileSync, writeSync } from "node:fs";
import { basename, resolve } from "node:path";
import { registerHooks } from "node:module";
import { errorCode, stderrLogger } from "@countersign/model";
import type { Gate, Policy } from "@countersign/gate";
import { isExplicit } from "./adapters/inbound.ts";
import type { Coverage } from "./coverage.ts";
import { watchDoors } from "./door.ts";
import type { Enforcer } from "./enforce.ts";
import { createGatedProcess } from "./gated-process.ts";
import { onProcessEnd } from "./lifecycle.ts";

/** Exit code of a configuration error (command line contract). */
const EX_CONFIG = 78;
const STOP_DEADLINE_MS = 5_000;

/** Programs that only start the server, and inherit `NODE_OPTIONS` on the way. They serve nothing. */
const LAUNCHERS: ReadonlySet<string> = new Set([
  "npm-cli.js",
  "npx-cli.js",
  "npm",
  "npx",
  "pnpm.cjs",
  "pnpm.mjs",
  "pnpx.cjs",
  "pnpm",
  "pnpx",
  "yarn.js",
  "yarn.cjs",
  "yarn",
  "corepack.js",
  "corepack",
]);

/**
 * What `--import @countersign/server/register` does. Loud on stderr and exit 78 when it cannot keep its promise: no policy,
 * a wrong policy, an SDK that is built differently, or a process that begins to serve without a gated SDK in it.
 */
export async function activate(env: NodeJS.ProcessEnv = process.env): Promise<void> {
  if (LAUNCHERS.has(basename(process.argv[1] ?? ""))) return;
  if (typeof registerHooks !== "function")
    fail(`Node ${process.versions.node} is too old; it needs 22.15 or later`);
  const file = env["COUNTERSIGN_POLICY"];
  if (file === undefined || file === "")
    fail("COUNTERSIGN_POLICY names no policy file; set it in the server's environment");
  const policyFile = resolve(file);
  const policy = await readPolicy(policyFile, env);
  const enforcer = lazyEnforcer(() => open(policyFile, { coverage: gated.coverage, env, policy }));
  const gated = createGatedProcess(enforcer, fail, () => enforcer.start());
  watchDoors(
    () => gated.coverage.complete() || isExplicit(),
    (door) =>
      fail(
        `this process begins to serve (${door}) and no MCP SDK in it is gated. If the SDK is bundled into the program, call instrumentServer() in its code; if it is loaded later, load it first`,
      ),
  );
}

/** Does not return. Written synchronously: what follows is the end of the process. */
function fail(message: string): never {
  writeSync(2, `server.register: ${message}\n`);
  process.exit(EX_CONFIG);
}

async function readPolicy(file: string, env: NodeJS.ProcessEnv): Promise<Policy> {
  const { loadPolicy } = await import("@countersign/gate");
  try {
    return loadPolicy(readFileSync(file, "utf8"), file, env).policy;
  } catch (error) {
    // Our own messages carry no values. Anything else is named, not quoted.
    const known =
      errorCode(error) !== undefined || (error as NodeJS.ErrnoException).code !== undefined;
    return fail(
      known
        ? `cannot use the policy ${file}: ${(error as Error).message}`
        : `cannot use the policy ${file}`,
    );
  }
}

interface Opening {
  readonly coverage: Coverage;
  readonly env: NodeJS.ProcessEnv;
  readonly policy: Policy;
}

async function open(policyFile: string, { coverage, env, policy }: Opening): Promise<Enforcer> {
  const log = stderrLogger("server.register");
  const [{ openGate }, { createEnforcer }, { startTelemetry }] = await Promise.all([
    import("@countersign/gate"),
    import("./enforce.ts"),
    import("./telemetry.ts"),
  ]);
  const telemetry = await startTelemetry({
    serviceName: policy.server,
    attributes: { "countersign.tenant": policy.tenant },
    log,
    env,
  });
  const gate: Gate = await openGate({
    policyFile,
    gate: "in_process",
    coverage: () => ({ sdks: coverage.list() }),
    env,
  });
  onProcessEnd(async (reason) => {
    await gate.stop(reason, AbortSignal.timeout(STOP_DEADLINE_MS));
    await telemetry?.shutdown();
  });
  return createEnforcer(gate);
}

/** Opens the gate when the first SDK is loaded: a process that loads none leaves no trace. */
function lazyEnforcer(make: () => Promise<Enforcer>): Enforcer & { start(): void } {
  let made: Promise<Enforcer> | undefined;
  const start = (): Promise<Enforcer> =>
    (made ??= make().catch((error: unknown) =>
      fail(
        `cannot open the gate: ${errorCode(error) === undefined ? "internal error" : (error as Error).message}`,
      ),
    ));
  return {
    start: () => void start(),
    open: async (call) => (await start()).open(call),
  };
}
