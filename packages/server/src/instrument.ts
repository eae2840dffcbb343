import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { TracerProvider } from "@opentelemetry/api";
import { type Gate, loadPolicy, openGate } from "@countersign/gate";
import { CountersignError, stderrLogger } from "@countersign/model";
import { isClient, noteExplicit, setEnforcer } from "./adapters/inbound.ts";
import { gateFetch, gateWire, isFetchHandler, isWire } from "./adapters/listen.ts";
import { type Coverage, createCoverage, type SdkCopy } from "./coverage.ts";
import { type Enforcer, createEnforcer } from "./enforce.ts";
import { unrecordedDenial } from "./denial.ts";
import { onProcessEnd } from "./lifecycle.ts";
import { generationOf, patchProtocol } from "./patch.ts";
import type { OptInAttributes } from "./spans.ts";

/** How {@link instrumentServer} decides: by a policy file (read once per process), or by a gate that you made. */
export type InstrumentOptions = SpanOptions &
  (
    | {
        /** Path of the policy file. The gate behind it is shared by everything instrumented with the same file. */
        readonly policy: string;
      }
    | {
        /** A gate of your own; you stop it. */
        readonly gate: Gate;
      }
  );

interface SpanOptions {
  /** Default: the global one. Taken from the first call for a gate. */
  readonly tracerProvider?: TracerProvider;
  /** Span attributes of level O. Default none. Taken from the first call for a gate. */
  readonly optIn?: OptInAttributes;
}

/** What {@link instrumentServer} gives. */
export interface Instrumented {
  /** Settles when the gate is open. A request that comes earlier waits for it; if it cannot be opened, all are denied. */
  readonly gate: Promise<Gate>;
  /** The copies of the SDK that this process met by explicit calls. */
  coverage(): readonly SdkCopy[];
}

const STOP_DEADLINE_MS = 5_000;

/** A gate, open or opening, and what enforces it. */
export interface Entry {
  readonly gate: Promise<Gate>;
  readonly enforcer: Enforcer;
}

const byFile = new Map<string, Entry>();
const byGate = new WeakMap<Gate, Entry>();
const met: Coverage = createCoverage();

/**
 * Puts the gate in front of a server. Takes an instance of v1 or v2 (`McpServer`, `Server`), a class (`Server`,
 * `Protocol`: all instances), and of v2 also what `createMcpHandler` gives and a transport for `serveStdio`: the two
 * entry points that serve `subscriptions/listen` themselves. May be called before or after connecting, and again.
 *
 * @throws CountersignError CONFIG_INVALID: the policy is wrong, or this is nothing that can be gated.
 */
export function instrumentServer(server: object, options: InstrumentOptions): Instrumented {
  const entry = entryOf(options);
  apply(server, entry.enforcer);
  noteExplicit();
  return { gate: entry.gate, coverage: () => met.list() };
}

function apply(given: object, enforcer: Enforcer): void {
  if (isFetchHandler(given)) return gateFetch(given, enforcer);
  if (typeof given === "object" && isWire(given)) return gateWire(given, enforcer);
  const target = protocolOf(given);
  const generation = target === undefined ? undefined : generationOf(target);
  if (
    target === undefined ||
    generation === undefined ||
    isClient(target) ||
    !patchProtocol(target)
  ) {
    throw new CountersignError(
      "CONFIG_INVALID",
      "server.instrument: this is no MCP server that can be gated; pass the McpServer or Server of SDK v1 or v2, its class, a v2 fetch handler, or a transport",
    );
  }
  setEnforcer(target, enforcer);
  const name = generation === "v1" ? "sdk" : "server";
  met.add({
    package: `@modelcontextprotocol/${name}`,
    version: "unknown",
    format: "none",
    patched: true,
  });
}

/** `McpServer` has its `Server`; a class has its prototype. */
function protocolOf(given: object): object | undefined {
  if (typeof given === "function") return (given as { prototype?: object }).prototype;
  const { server } = given as { server?: unknown };
  return typeof server === "object" && server !== null ? server : given;
}

/** The gate that the options name, opened once, and its enforcer. */
export function entryOf(options: InstrumentOptions): Entry {
  if ("gate" in options) {
    const known = byGate.get(options.gate);
    if (known !== undefined) return known;
    const entry = {
      gate: Promise.resolve(options.gate),
      enforcer: createEnforcer(options.gate, options),
    };
    byGate.set(options.gate, entry);
    return entry;
  }
  const file = resolve(options.policy);
  const entry = byFile.get(file) ?? openEntry(file, options);
  byFile.set(file, entry);
  return entry;
}

function openEntry(file: string, options: SpanOptions): Entry {
  // Now, not at the first call: a wrong policy is to be seen where the server is started.
  loadPolicy(readPolicy(file), file);
  const gate = openGate({
    policyFile: file,
    gate: "in_process",
    coverage: () => ({ sdks: met.list() }),
  });
  onProcessEnd(async (reason) => (await gate).stop(reason, AbortSignal.timeout(STOP_DEADLINE_MS)));
  return { gate, enforcer: whenOpen(gate.then((opened) => createEnforcer(opened, options))) };
}

function readPolicy(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new CountersignError("CONFIG_INVALID", `server.policy: cannot read ${file}`, { cause });
  }
}

/** An enforcer that is still being made. If that fails, nothing is ever run. */
function whenOpen(enforcer: Promise<Enforcer>): Enforcer {
  enforcer.catch((error: unknown) => {
    stderrLogger("server").error(
      `server.gate: cannot open, every call is denied: ${error instanceof Error ? error.message : "unknown error"}`,
    );
  });
  return {
    open: async (call) => {
      const opened = await enforcer.catch(() => undefined);
      return opened === undefined
        ? { effect: "block", denial: unrecordedDenial(call.method) }
        : opened.open(call);
    },
  };
}
