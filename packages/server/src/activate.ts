import { accessSync, constants, writeSync } from "node:fs";
import * as nodeModule from "node:module"; // by name, an older Node would not even link this file
import { basename, resolve } from "node:path";
import { classify } from "@countersign/gate/methods";
import { isExplicit } from "./adapters/inbound.ts";
import type { Coverage } from "./coverage.ts";
import { watchDoors } from "./door.ts";
import type { Enforcer, OpenCall } from "./enforce.ts";
import { createGatedProcess } from "./gated-process.ts";
import { onProcessEnd } from "./lifecycle.ts";

// What is imported above is all that a start waits for. The gate, its policy and OpenTelemetry load when the first copy of
// the SDK is there and the event loop has turned once: by then `initialize`, which no gate decides, has its answer.

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
  if (typeof nodeModule.registerHooks !== "function")
    fail(`Node ${process.versions.node} is too old; it needs 22.15 or later`);
  const file = env["COUNTERSIGN_POLICY"];
  if (file === undefined || file === "")
    fail("COUNTERSIGN_POLICY names no policy file; set it in the server's environment");
  const policyFile = resolve(file);
  try {
    accessSync(policyFile, constants.R_OK);
  } catch {
    fail(`cannot read the policy file ${policyFile}`);
  }
  const enforcer = lazyEnforcer(() => open(policyFile, gated.coverage, env));
  const gated = createGatedProcess(enforcer, fail, () => enforcer.prepare());
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

async function open(
  policyFile: string,
  coverage: Coverage,
  env: NodeJS.ProcessEnv,
): Promise<Enforcer> {
  const [{ openGate }, { createEnforcer }, { startTelemetry }, { stderrLogger }] =
    await Promise.all([
      import("@countersign/gate"),
      import("./enforce.ts"),
      import("./telemetry.ts"),
      import("@countersign/model"),
    ]);
  const log = stderrLogger("server.register");
  const gate = await openGate({
    policyFile,
    gate: "in_process",
    coverage: () => ({ sdks: coverage.list() }),
    env,
    log,
  });
  const { server: serviceName, tenant } = gate.policy;
  const telemetry = await startTelemetry({
    serviceName,
    attributes: { "countersign.tenant": tenant },
    log,
    env,
  });
  onProcessEnd(async (reason) => {
    await gate.stop(reason, AbortSignal.timeout(STOP_DEADLINE_MS));
    await telemetry?.shutdown();
  });
  return createEnforcer(gate);
}

interface LazyEnforcer extends Enforcer {
  /** Makes it soon. */
  prepare(): void;
}

/** A process that loads no SDK opens no gate and leaves no trace. One that cannot open its gate ends, loudly. */
function lazyEnforcer(make: () => Promise<Enforcer>): LazyEnforcer {
  let made: Promise<Enforcer> | undefined;
  let ready: Enforcer | undefined;
  const start = (): Promise<Enforcer> =>
    (made ??= make().catch((error: unknown) => fail(reasonOf(error))));
  return {
    prepare: () => void setImmediate(() => void start()),
    open: async (call) => {
      if (
        ready === undefined &&
        isUntraced() &&
        call.fault === undefined &&
        classify(call.method) === "pass"
      )
        return PASS;
      ready ??= await start();
      return ready.open(call);
    },
    outgoing: (request) =>
      ready?.outgoing?.(request) ?? { params: request.params, run: (send) => send() },
  };
}

/** No OpenTelemetry is set up in this process, nor asked for: a span made now would be nobody's. */
function isUntraced(): boolean {
  const asked = Object.keys(process.env).some((name) => name.startsWith("OTEL_"));
  return !asked && !(Symbol.for("opentelemetry.js.api.1") in globalThis);
}

/** A request that no gate decides (`initialize`), before the gate is open. */
const PASS: OpenCall = {
  effect: "run",
  context: undefined as never,
  run: (handler) => handler(),
  finish: () => undefined,
};

/** Our own messages carry no values. Anything else is named, not quoted. */
function reasonOf(error: unknown): string {
  const { code, message, name } = error as { code?: unknown; message?: string; name?: string };
  return `cannot open the gate: ${code === "CONFIG_INVALID" || code === "UNAVAILABLE" ? message : (name ?? "unknown error")}`;
}
