// How events reach the processor, as the standard variables say: for logs alone, since those for all signals often name another
// backend.
import type { ShipOptions, ShipTls } from "@countersign/journal";

/** Shipping to the OTLP/HTTP receiver at `endpoint`. */
export function shipOptions(endpoint: string, env: NodeJS.ProcessEnv): ShipOptions {
  const headers = shipHeaders(env);
  const tls = shipTls(env);
  return {
    endpoint,
    ...(headers === undefined ? {} : { headers }),
    ...(tls === undefined ? {} : { tls }),
  };
}

/**
 * `OTEL_EXPORTER_OTLP_LOGS_HEADERS`: events travel as OTLP logs. The variable for all signals is not read, since it often
 * holds the key of somebody else's trace backend.
 */
function shipHeaders(env: NodeJS.ProcessEnv): Readonly<Record<string, string>> | undefined {
  const text = env["OTEL_EXPORTER_OTLP_LOGS_HEADERS"];
  if (text === undefined || text === "") return undefined;
  const headers: Record<string, string> = {};
  for (const pair of text.split(",")) {
    const equals = pair.indexOf("=");
    if (equals > 0)
      headers[pair.slice(0, equals).trim().toLowerCase()] = decode(pair.slice(equals + 1).trim());
  }
  return headers;
}

/**
 * Whom to trust: `OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE`, else the variable for all signals. Who we are is read for logs alone, as
 * the headers are: the guard keeps those variables from the server behind it.
 */
function shipTls(env: NodeJS.ProcessEnv): ShipTls | undefined {
  const caFile =
    env["OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE"] || env["OTEL_EXPORTER_OTLP_CERTIFICATE"];
  const certFile = env["OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE"];
  const keyFile = env["OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY"];
  if (!caFile && !certFile && !keyFile) return undefined;
  return {
    ...(caFile ? { caFile } : {}),
    ...(certFile ? { certFile } : {}),
    ...(keyFile ? { keyFile } : {}),
  };
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
