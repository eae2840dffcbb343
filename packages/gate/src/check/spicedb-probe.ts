import type { ServiceError } from "@grpc/grpc-js";
import type { SpiceDbConfig } from "../policy/policy.ts";
import type { ProbeResult } from "./checker.ts";
import type { Connection } from "./spicedb-connection.ts";

/** Oldest SpiceDB this is tested with: older ones lack bulk checks with per-item errors, or expiring relationships. */
const FLOOR = [1, 54] as const;
const PROBE_TIMEOUT_MS = 5000;
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
/** SpiceDB tells its version to who asks, in the trailers of any call. */
const ASK_VERSION = "io.spicedb.requestversion";
const VERSION = "io.spicedb.debug.version";

interface Answer {
  readonly code: number;
  readonly version: string | undefined;
}

/** Reachable, our token taken, new enough? Asks for the schema, the one call that changes nothing and needs no object. */
export async function probeSpiceDb(
  connection: Connection,
  { endpoint }: SpiceDbConfig,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const { code, version } = await askVersion(connection, signal);
  if (code === PERMISSION_DENIED || code === UNAUTHENTICATED) {
    return {
      ok: false,
      detail: `SpiceDB at ${endpoint} refused the token: compare it with --grpc-preshared-key`,
    };
  }
  if (code !== 0 && code !== NOT_FOUND) {
    return {
      ok: false,
      detail: `SpiceDB at ${endpoint} does not answer (gRPC status ${code}): is it running, and is tls right?`,
    };
  }
  const numbers = /^v?(\d+)\.(\d+)\./.exec(version ?? "");
  if (numbers === null)
    return { ok: true, detail: `SpiceDB at ${endpoint} answers, and does not tell its version` };
  const [major, minor] = [Number(numbers[1]), Number(numbers[2])];
  const isOld = major < FLOOR[0] || (major === FLOOR[0] && minor < FLOOR[1]);
  const found = `SpiceDB ${major}.${minor} at ${endpoint}`;
  if (isOld) return { ok: false, detail: `${found} is older than ${FLOOR.join(".")}: upgrade it` };
  return {
    ok: true,
    detail: code === NOT_FOUND ? `${found} answers, and has no schema yet` : found,
  };
}

function askVersion(connection: Connection, signal: AbortSignal): Promise<Answer> {
  const metadata = connection.metadata();
  metadata.set(ASK_VERSION, "1");
  return new Promise((resolve) => {
    let version: string | undefined;
    const options = { deadline: Date.now() + PROBE_TIMEOUT_MS };
    const sent = connection.schema.readSchema(
      {},
      metadata,
      options,
      (error: ServiceError | null) => {
        signal.removeEventListener("abort", cancel);
        // Trailers come with the status: give the status event its turn.
        setImmediate(() => resolve({ code: error?.code ?? 0, version }));
      },
    );
    const cancel = (): void => sent.cancel();
    sent.on("status", ({ metadata: trailers }) => {
      version = trailers.get(VERSION)[0]?.toString();
    });
    signal.addEventListener("abort", cancel, { once: true });
  });
}
