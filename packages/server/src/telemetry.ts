import { diag, DiagLogLevel, type DiagLogger, trace } from "@opentelemetry/api";
import type { Logger } from "@countersign/model";

/** A started OpenTelemetry SDK. */
export interface Telemetry {
  /** Flushes and ends it; rejects never. */
  shutdown(): Promise<void>;
}

/** What the resource of this process says, unless the `OTEL_*` variables say otherwise. */
export interface TelemetryOptions {
  readonly serviceName: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly log: Logger;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Starts `@opentelemetry/sdk-node` when the environment names where traces go, else nothing (and loads nothing).
 * Traces only. Nothing is ever written to stdout, where JSON-RPC is: the SDK's own diagnostics and its console exporter
 * would be. Process and host detectors stay off: they put command lines and host names into every resource.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry | undefined> {
  const env = options.env ?? process.env;
  if (!wanted(env, options.log) || isRegistered()) return undefined;
  diagToLog(env["OTEL_LOG_LEVEL"], options.log);
  const [{ NodeSDK }, { OTLPTraceExporter }, { ATTR_SERVICE_NAME }] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/semantic-conventions"),
  ]);
  const attributes = { [ATTR_SERVICE_NAME]: options.serviceName, ...options.attributes };
  const sdk = withoutVariable("OTEL_LOG_LEVEL", () => {
    const node = new NodeSDK({
      ...(usesHttpJson(env) ? { traceExporter: new OTLPTraceExporter() } : {}),
      metricReaders: [],
      logRecordProcessors: [],
      resourceDetectors: [resourceDetector(attributes, env)],
    });
    node.start();
    return node;
  });
  return { shutdown: async () => sdk.shutdown().catch(() => undefined) };
}

function wanted(env: NodeJS.ProcessEnv, log: Logger): boolean {
  if (env["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return false;
  const exporters = (env["OTEL_TRACES_EXPORTER"] ?? "")
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
  if (exporters.includes("none")) return false;
  if (exporters.includes("console")) {
    log.warn(
      "telemetry: OTEL_TRACES_EXPORTER=console would write to stdout, where JSON-RPC is; no traces are exported. Use otlp",
    );
    return false;
  }
  return (
    exporters.length > 0 ||
    [env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]].some(Boolean)
  );
}

/** The application started an SDK of its own before us: one process, one SDK. */
function isRegistered(): boolean {
  const provider = trace.getTracerProvider() as { getDelegate?: () => object };
  const delegate = provider.getDelegate?.();
  return delegate !== undefined && delegate.constructor.name !== "NoopTracerProvider";
}

/** `exporter-trace-otlp-http` speaks JSON. Another protocol is the SDK's own choice by the same variables. */
function usesHttpJson(env: NodeJS.ProcessEnv): boolean {
  const protocol = env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] ?? env["OTEL_EXPORTER_OTLP_PROTOCOL"];
  const exporter = env["OTEL_TRACES_EXPORTER"] ?? "otlp";
  return (
    exporter === "otlp" && (protocol === undefined || protocol === "" || protocol === "http/json")
  );
}

/** Our defaults, then `OTEL_RESOURCE_ATTRIBUTES`, then `OTEL_SERVICE_NAME`: never the SDK's `unknown_service:<argv0>`. */
function resourceDetector(
  defaults: Readonly<Record<string, string>>,
  env: NodeJS.ProcessEnv,
): { detect(): { attributes: Record<string, string> } } {
  const given = parseAttributes(env["OTEL_RESOURCE_ATTRIBUTES"] ?? "");
  const name = env["OTEL_SERVICE_NAME"];
  const named = name === undefined || name === "" ? {} : { "service.name": name };
  return { detect: () => ({ attributes: { ...defaults, ...given, ...named } }) };
}

function parseAttributes(text: string): Record<string, string> {
  const pairs = text.split(",").flatMap((pair): [string, string][] => {
    const at = pair.indexOf("=");
    if (at <= 0) return [];
    try {
      return [[pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())]];
    } catch {
      return [];
    }
  });
  return Object.fromEntries(pairs);
}

/** The SDK would answer `OTEL_LOG_LEVEL` with a logger of its own, on stdout. */
function withoutVariable<T>(name: string, run: () => T): T {
  const { [name]: kept } = process.env;
  delete process.env[name];
  try {
    return run();
  } finally {
    if (kept !== undefined) process.env[name] = kept;
  }
}

const LEVELS: Readonly<Record<string, DiagLogLevel>> = {
  ALL: DiagLogLevel.ALL,
  VERBOSE: DiagLogLevel.VERBOSE,
  DEBUG: DiagLogLevel.DEBUG,
  INFO: DiagLogLevel.INFO,
  WARN: DiagLogLevel.WARN,
  ERROR: DiagLogLevel.ERROR,
  NONE: DiagLogLevel.NONE,
};

function diagToLog(level: string | undefined, log: Logger): void {
  const logger: DiagLogger = {
    error: (message) => log.error(`otel: ${message}`),
    warn: (message) => log.warn(`otel: ${message}`),
    info: (message) => log.info(`otel: ${message}`),
    debug: (message) => log.debug(`otel: ${message}`),
    verbose: (message) => log.debug(`otel: ${message}`),
  };
  diag.setLogger(logger, {
    logLevel: LEVELS[(level ?? "").toUpperCase()] ?? DiagLogLevel.WARN,
    suppressOverrideMessage: true,
  });
}
