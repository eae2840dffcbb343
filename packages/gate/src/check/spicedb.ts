import type { v1 } from "@authzed/authzed-node";
import type { CheckReason } from "@countersign/model";
import type { CallOptions, ClientUnaryCall, Metadata, ServiceError } from "@grpc/grpc-js";
import type { SpiceDbConfig } from "../policy/policy.ts";
import type { CheckAnswer, CheckCall, Checker, CheckRequest, ProbeResult } from "./checker.ts";
import { startCheckSpan } from "./check-span.ts";
import { connect, type Connection } from "./spicedb-connection.ts";
import {
  answerOf,
  bulkAnswers,
  bulkRequest,
  type Consistency,
  singleRequest,
} from "./spicedb-messages.ts";
import { probeSpiceDb } from "./spicedb-probe.ts";

/** gRPC status codes that mean something here (numbers, because the library is loaded late). */
const CODE = {
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  outOfRange: 11,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/**
 * Code 7 is a wrong token and nothing else: SpiceDB says "no permission" in the answer, never as a status. It is a fault of
 * the configuration and must not look like a policy decision.
 */
const REASONS: ReadonlyMap<number, CheckReason> = new Map<number, CheckReason>([
  [CODE.deadlineExceeded, "timeout"],
  [CODE.unavailable, "unavailable"],
  [CODE.resourceExhausted, "unavailable"],
  [CODE.permissionDenied, "refused"],
  [CODE.unauthenticated, "refused"],
  [CODE.invalidArgument, "invalid_request"],
  [CODE.notFound, "invalid_request"],
  [CODE.failedPrecondition, "invalid_request"],
  [CODE.outOfRange, "invalid_request"],
  [CODE.unimplemented, "invalid_request"],
]);

/** Statuses with which SpiceDB answers a consistency token that it does not know (any more). */
const BAD_TOKEN: ReadonlySet<number> = new Set([
  CODE.invalidArgument,
  CODE.failedPrecondition,
  CODE.outOfRange,
]);

/** So many timeouts in a row, and the connection is taken for dead: TCP alone would take a quarter of an hour to notice. */
const MAX_TIMEOUTS_IN_A_ROW = 3;

interface Sending {
  readonly deadlineMs: number;
  readonly waitForReady?: boolean;
}

interface Sent {
  readonly answers: readonly CheckAnswer[];
  /** gRPC status, if it failed. */
  readonly code?: number;
}

class SpiceDbChecker implements Checker {
  readonly engine = "spicedb";
  readonly #config: SpiceDbConfig;
  #connection: Promise<Connection> | undefined;
  #newestToken: string | undefined;
  #timeoutsInARow = 0;
  #closed = false;

  constructor(config: SpiceDbConfig) {
    this.#config = config;
  }

  async check(requests: readonly CheckRequest[], call: CheckCall): Promise<readonly CheckAnswer[]> {
    const loaded = await this.#connect().catch(() => undefined);
    if (loaded === undefined) return allOf(requests, "unavailable", 0);
    // From here: loading the client, once, is not the authorizer's time.
    const deadlineMs = Date.now() + this.#config.timeoutMs;
    const first = await this.#send(requests, call, { deadlineMs });
    if (first.code === undefined || call.signal.aborted) return first.answers;
    if (this.#newestToken !== undefined && this.#usesToken() && BAD_TOKEN.has(first.code)) {
      // A SpiceDB that lost its memory does not know our token: ask again with none, once.
      this.#newestToken = undefined;
      return (await this.#send(requests, call, { deadlineMs })).answers;
    }
    if (first.code !== CODE.unavailable) return first.answers;
    // The connection was lost, or is being made: wait for it as long as the deadline allows. Still none is "unavailable".
    const second = await this.#send(requests, call, { deadlineMs, waitForReady: true });
    return second.code === CODE.deadlineExceeded ? first.answers : second.answers;
  }

  async probe(signal: AbortSignal): Promise<ProbeResult> {
    try {
      return await probeSpiceDb(await this.#connect(), this.#config, signal);
    } catch {
      return {
        ok: false,
        detail: "the SpiceDB client could not be loaded; is @authzed/authzed-node installed?",
      };
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#disconnect();
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) (await connection.catch(() => undefined))?.close();
  }

  #connect(): Promise<Connection> {
    if (this.#closed) return Promise.reject(new Error("closed"));
    this.#connection ??= connect(this.#config).catch((error: unknown) => {
      this.#connection = undefined;
      throw error;
    });
    return this.#connection;
  }

  #usesToken(): boolean {
    return this.#config.consistency === "at_least_as_fresh";
  }

  #consistency(): Consistency {
    if (!this.#usesToken()) return { kind: this.#config.consistency };
    return { kind: "at_least_as_fresh", token: this.#newestToken };
  }

  /** One request, whatever the number of questions, and its span. Never rejects. */
  async #send(requests: readonly CheckRequest[], call: CheckCall, sending: Sending): Promise<Sent> {
    const method = requests.length === 1 ? "CheckPermission" : "CheckBulkPermissions";
    const request = { endpoint: this.#config.endpoint, method, count: requests.length };
    const span = startCheckSpan(request, call);
    const startedMs = performance.now();
    const elapsedUs = (): number => Math.round((performance.now() - startedMs) * 1000);
    try {
      const connection = await this.#connect();
      const metadata = connection.metadata(call.id, span.traceparent ?? call.traceparent);
      metadata.setOptions({ waitForReady: sending.waitForReady ?? false });
      const message = { metadata, options: { deadline: sending.deadlineMs }, signal: call.signal };
      const answers = await this.#ask(connection, requests, message, elapsedUs);
      this.#timeoutsInARow = 0;
      this.#newestToken = answers[0]?.consistencyToken ?? this.#newestToken;
      span.end();
      return { answers };
    } catch (error) {
      // Without a status the client itself failed: it was closed under this call, and the next one gets a new connection.
      const code: number = (error as Partial<ServiceError>).code ?? CODE.unavailable;
      span.fail(code);
      this.#noteTimeout(code);
      return { answers: allOf(requests, reasonFor(code, call.signal), elapsedUs()), code };
    }
  }

  /** A single question has a request of its own, whose answer could also tell when it expires. */
  async #ask(
    connection: Connection,
    requests: readonly CheckRequest[],
    message: Message,
    elapsedUs: () => number,
  ): Promise<readonly CheckAnswer[]> {
    const { permissions } = connection;
    const [only] = requests;
    if (requests.length === 1 && only !== undefined) {
      const request = singleRequest(connection, only, this.#consistency());
      const response = await unary<v1.CheckPermissionRequest, v1.CheckPermissionResponse>(
        permissions.checkPermission.bind(permissions),
        request,
        message,
      );
      return [answerOf(response, elapsedUs())];
    }
    const request = bulkRequest(connection, requests, this.#consistency());
    const response = await unary<v1.CheckBulkPermissionsRequest, v1.CheckBulkPermissionsResponse>(
      permissions.checkBulkPermissions.bind(permissions),
      request,
      message,
    );
    return bulkAnswers(response, requests.length, elapsedUs());
  }

  #noteTimeout(code: number): void {
    this.#timeoutsInARow = code === CODE.deadlineExceeded ? this.#timeoutsInARow + 1 : 0;
    if (this.#timeoutsInARow < MAX_TIMEOUTS_IN_A_ROW) return;
    this.#timeoutsInARow = 0;
    void this.#disconnect();
  }
}

/** A status that means nothing here leaves the question unanswered, which is an error and not a denial. */
function reasonFor(code: number, signal: AbortSignal): CheckReason {
  return signal.aborted ? "not_evaluated" : (REASONS.get(code) ?? "not_evaluated");
}

function allOf(
  requests: readonly CheckRequest[],
  reason: CheckReason,
  durationUs: number,
): readonly CheckAnswer[] {
  return requests.map(() => ({ verdict: "error", reason, engine: "spicedb", durationUs }));
}

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response?: Response) => void,
) => ClientUnaryCall;

interface Message {
  readonly metadata: Metadata;
  readonly options: Partial<CallOptions>;
  readonly signal: AbortSignal;
}

function unary<Request, Response>(
  send: Unary<Request, Response>,
  request: Request,
  { metadata, options, signal }: Message,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => sent.cancel();
    const sent = send(request, metadata, options, (error, response) => {
      signal.removeEventListener("abort", cancel);
      if (error !== null || response === undefined) reject(error ?? new Error("no response"));
      else resolve(response);
    });
    signal.addEventListener("abort", cancel, { once: true });
  });
}

/**
 * SpiceDB over gRPC. The client is loaded with the first question (it takes tens of milliseconds), and every request has
 * the policy's deadline: the client has none of its own. Never cached: every call asks.
 */
export function createSpiceDbChecker(config: SpiceDbConfig): Checker {
  return new SpiceDbChecker(config);
}
