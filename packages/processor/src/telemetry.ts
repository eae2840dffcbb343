// The service's own traces. Loads an SDK only when the standard OTEL_* variables ask for one.
import { networkInterfaces } from "node:os";
import type { Attributes, Span, SpanStatusCode } from "@opentelemetry/api";
import { isLoopbackHost, type Logger } from "@countersign/model";
import {
  type Config,
  type Endpoint,
  errorTypeOf,
  parseEndpoint,
  type Trace,
} from "@countersign/pipeline";

/** A started SDK. */
export interface Telemetry {
  readonly trace: Trace;
  /** Sends what is there and ends it, for at most 5 s. Never rejects. */
  shutdown(): Promise<void>;
}

/** What it needs. */
export interface TelemetryOptions {
  readonly config: Config;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
}

const SERVICE_NAME = "countersign-processor";
const SHUTDOWN_MS = 5000;

/**
 * Starts `@opentelemetry/sdk-node` when the environment says where traces go; undefined otherwise. Traces only; no detector of
 * process and host, which put command lines and names into every resource. Spans that would come back to a receiver of this
 * very service are refused, with a warning: each would make another.
 */
export async function startTelemetry(options: TelemetryOptions): Promise<Telemetry | undefined> {
  const { env, log } = options;
  if (!isWanted(env)) return undefined;
  if (writesToStdout(env)) {
    log.warn("no traces of the service itself: OTEL_TRACES_EXPORTER may be otlp or none");
    return undefined;
  }
  if (sendsToItself(options)) {
    log.warn(
      "no traces of the service itself: OTEL_EXPORTER_OTLP_ENDPOINT is this service's own receiver; name another, or set OTEL_SDK_DISABLED=true",
    );
    return undefined;
  }
  const [{ NodeSDK }, api] = await Promise.all([
    import("@opentelemetry/sdk-node"),
    import("@opentelemetry/api"),
  ]);
  api.diag.setLogger(diagnostics(log), {
    logLevel: api.DiagLogLevel.WARN,
    suppressOverrideMessage: true,
  });
  const level = process.env["OTEL_LOG_LEVEL"];
  // The SDK would answer it with a logger of its own, on standard output.
  delete process.env["OTEL_LOG_LEVEL"];
  const sdk = new NodeSDK({
    metricReaders: [],
    logRecordProcessors: [],
    resourceDetectors: [{ detect: () => ({ attributes: resourceOf(env) }) }],
  });
  sdk.start();
  if (level !== undefined) process.env["OTEL_LOG_LEVEL"] = level;
  const tracer = api.trace.getTracer(SERVICE_NAME);
  const kinds = {
    server: api.SpanKind.SERVER,
    client: api.SpanKind.CLIENT,
    internal: api.SpanKind.INTERNAL,
  };
  const trace: Trace = ({ name, kind, attributes }, run) =>
    tracer.startActiveSpan(name, { kind: kinds[kind], attributes }, (span) =>
      within(
        span,
        () => run((more: Attributes) => void span.setAttributes(more)),
        api.SpanStatusCode.ERROR,
      ),
    );
  log.info("traces of the service itself are on");
  return { trace, shutdown: () => atMost(SHUTDOWN_MS, sdk.shutdown()) };
}

/** Messages of errors stay out of spans: the codes are closed. */
async function within<Result>(
  span: Span,
  run: () => Promise<Result>,
  code: SpanStatusCode.ERROR,
): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    span.setAttribute("error.type", errorTypeOf(error));
    span.setStatus({ code });
    throw error;
  } finally {
    span.end();
  }
}

async function atMost(ms: number, work: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms).unref();
  await Promise.race([work.catch(() => undefined), promise]);
  clearTimeout(timer);
}

type Env = TelemetryOptions["env"];

function isWanted(env: Env): boolean {
  if (env["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return false;
  const exporters = env["OTEL_TRACES_EXPORTER"] ?? "";
  if (exporters.split(",").some((one) => one.trim() === "none")) return false;
  return exporters !== "" || endpointUrl(env) !== undefined;
}

function writesToStdout(env: Env): boolean {
  return (env["OTEL_TRACES_EXPORTER"] ?? "").split(",").some((one) => one.trim() === "console");
}

function endpointUrl(env: Env): string | undefined {
  return (
    env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] || env["OTEL_EXPORTER_OTLP_ENDPOINT"] || undefined
  );
}

function isGrpc(env: Env): boolean {
  const protocol = env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] || env["OTEL_EXPORTER_OTLP_PROTOCOL"];
  return protocol === "grpc";
}

/** By port and address. Through another processor a loop stays possible; nobody can see that from here. */
function sendsToItself({ env, config }: TelemetryOptions): boolean {
  const fallback = isGrpc(env) ? "http://localhost:4317" : "http://localhost:4318";
  const target = URL.parse(endpointUrl(env) ?? fallback);
  if (target === null) return false;
  const port = Number(target.port || (target.protocol === "https:" ? 443 : 80));
  const host = target.hostname.replace(/^\[|\]$/g, "");
  return receiversOf(config).some((own) => own.port === port && isSameHost(host, own.host));
}

function isSameHost(host: string, own: string): boolean {
  if (host === own) return true;
  const isEverywhere = own === "0.0.0.0" || own === "::";
  if (isLoopbackHost(host)) return isLoopbackHost(own) || isEverywhere;
  if (!isEverywhere) return false;
  const addresses = Object.values(networkInterfaces()).flatMap((some) => some ?? []);
  return host === "0.0.0.0" || addresses.some(({ address }) => address === host);
}

function receiversOf({ receivers }: Config): readonly Endpoint[] {
  return [...receivers.values()].flatMap(({ spec, config }) => {
    if (spec.type !== "otlp") return [];
    const { protocols } = config as { protocols: { http: { endpoint: string } } };
    return parseEndpoint(protocols.http.endpoint) ?? [];
  });
}

/** Ours, then `OTEL_RESOURCE_ATTRIBUTES`, then `OTEL_SERVICE_NAME`. */
function resourceOf(env: Env): Record<string, string> {
  const given = (env["OTEL_RESOURCE_ATTRIBUTES"] ?? "").split(",").flatMap((pair) => {
    const at = pair.indexOf("=");
    return at <= 0 ? [] : [[pair.slice(0, at).trim(), pair.slice(at + 1).trim()]];
  });
  const name = env["OTEL_SERVICE_NAME"];
  const named = name === undefined || name === "" ? {} : { "service.name": name };
  return { "service.name": SERVICE_NAME, ...Object.fromEntries(given), ...named };
}

function diagnostics(
  log: Logger,
): Record<"error" | "warn" | "info" | "debug" | "verbose", (message: string) => void> {
  return {
    error: (message) => log.error(`otel: ${message}`),
    warn: (message) => log.warn(`otel: ${message}`),
    info: () => undefined,
    debug: () => undefined,
    verbose: () => undefined,
  };
}
