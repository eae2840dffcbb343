import { META_CALL_PROOF } from "@countersign/model";
import { areNumbersPlain } from "./number-spelling.ts";
import {
  type Interest,
  type Member,
  type ScanProblem,
  type ScannedObject,
  member,
  scan,
} from "./scan.ts";
import { isRequestId, skim } from "./skim.ts";

/** A request id. `1` and `"1"` are two ids, as they are for a `Map`. */
export type RequestId = string | number;

/** A request of the client: what the gate needs of it, and where to splice. */
export interface CallerRequest {
  readonly kind: "request";
  readonly id: RequestId;
  readonly method: string;
  /** As received, but for the call proof. */
  readonly params: Readonly<Record<string, unknown>> | undefined;
  readonly meta: Readonly<Record<string, unknown>> | undefined;
  /** Present if and only if there was one, whatever it is. `null`, and so no proof, when numbers it is about can be read in two ways. */
  readonly proof?: unknown;
  /** The caller's own bytes, the proof still in them: never forwarded before it is spliced out. */
  readonly line: Buffer;
  readonly root: ScannedObject;
}

/** A notification of the client, and where to splice. */
export interface CallerNotification {
  readonly kind: "notification";
  readonly method: string;
  readonly cancels?: RequestId;
  readonly line: Buffer;
  readonly root: ScannedObject;
}

/** One line of the client, read. */
export type CallerMessage =
  | CallerRequest
  | CallerNotification
  | { readonly kind: "response"; readonly id: RequestId }
  | FaultyMessage;

/** A line that is not forwarded. `id` and `method`, where they could be read, address the answer and name the record. */
export interface FaultyMessage {
  readonly kind: "faulty";
  readonly problem: ScanProblem | "envelope" | "params" | "meta";
  readonly id?: RequestId;
  readonly method?: string;
}

/** Deepest nesting that is taken from the client. */
const MAX_DEPTH = 64;
/** Longest method name; the record holds no more. */
const MAX_METHOD_BYTES = 256;
const INTEREST: Interest = { params: { _meta: {} } };
/** A message has these members and no others; MCP's own SDKs are as strict. See also `scan` on readers that ignore case. */
const ENVELOPE: ReadonlySet<string> = new Set([
  "jsonrpc",
  "id",
  "method",
  "params",
  "result",
  "error",
]);
const VERSION = '"2.0"';
const CANCELLED = "notifications/cancelled";

/** Reads one line of the client. Never throws, and never guesses: what two readers could read differently is faulty. */
export function readCallerLine(line: Buffer): CallerMessage {
  const scanned = scan(line, { strict: true, maxDepth: MAX_DEPTH, interest: INTEREST });
  if (scanned.problem !== undefined) return faulty(line, scanned.problem);
  const { root } = scanned;
  if (!isEnvelope(line, root)) return faulty(line, "envelope");
  if (member(root, "method") === undefined) return readResponse(line, root);
  return readCall(line, root);
}

function faulty(line: Buffer, problem: FaultyMessage["problem"]): FaultyMessage {
  return { kind: "faulty", problem, ...skim(line) };
}

function isEnvelope(line: Buffer, root: ScannedObject): boolean {
  const version = member(root, "jsonrpc");
  if (version === undefined || line.toString("latin1", version.start, version.end) !== VERSION)
    return false;
  return root.members.every(({ key }) => ENVELOPE.has(key));
}

function readResponse(line: Buffer, root: ScannedObject): CallerMessage {
  const id = idOf(line, member(root, "id"));
  const answers = [member(root, "result"), member(root, "error")].filter(
    (one) => one !== undefined,
  );
  // Without id, `{error}` answers a message that its reader could not read: there is nobody to give it to.
  if (id === undefined || answers.length !== 1 || member(root, "params") !== undefined)
    return faulty(line, "envelope");
  return { kind: "response", id };
}

function readCall(line: Buffer, root: ScannedObject): CallerMessage {
  const answered = member(root, "result") !== undefined || member(root, "error") !== undefined;
  const method = methodOf(line, root);
  if (answered || method === undefined) return faulty(line, "envelope");
  const idMember = member(root, "id");
  const id = idOf(line, idMember);
  if (idMember !== undefined && id === undefined) return faulty(line, "envelope");
  const at = member(root, "params");
  if (at !== undefined && at.object === undefined) return faulty(line, "params");
  const metaAt = member(at?.object, "_meta");
  if (metaAt !== undefined && metaAt.object === undefined) return faulty(line, "meta");
  if (id === undefined) return { ...readNotification(line, method, at), line, root };
  // Fresh from the parser, so nobody else holds them: the proof comes out of them in place.
  const params = at === undefined ? undefined : (valueOf(line, at) as Record<string, unknown>);
  const meta = params?.["_meta"] as Record<string, unknown> | undefined;
  const request = { kind: "request", id, method, params, meta, line, root } as const;
  if (meta === undefined || !Object.hasOwn(meta, META_CALL_PROOF)) return request;
  const proof = meta[META_CALL_PROOF];
  delete meta[META_CALL_PROOF];
  return { ...request, proof: isReadInOneWay(line, at?.object) ? proof : null };
}

/** What a proof is about: all of `params` but `_meta`. */
function isReadInOneWay(line: Buffer, params: ScannedObject | undefined): boolean {
  return (params?.members ?? []).every(
    ({ key, start, end }) => key === "_meta" || areNumbersPlain(line, start, end),
  );
}

function readNotification(
  line: Buffer,
  method: string,
  params: Member | undefined,
): Omit<CallerNotification, "line" | "root"> {
  if (method !== CANCELLED || params === undefined) return { kind: "notification", method };
  const { requestId } = valueOf(line, params) as { requestId?: unknown };
  return isRequestId(requestId)
    ? { kind: "notification", method, cancels: requestId }
    : { kind: "notification", method };
}

function methodOf(line: Buffer, root: ScannedObject): string | undefined {
  const at = member(root, "method");
  if (at === undefined || at.end - at.start > MAX_METHOD_BYTES) return undefined;
  const method = valueOf(line, at);
  return typeof method === "string" && method !== "" ? method : undefined;
}

/** An id must be spelled so that every reader reads the same: `1.0` and `1e0` are not. */
function idOf(line: Buffer, at: Member | undefined): RequestId | undefined {
  if (at === undefined) return undefined;
  const id = at.object === undefined && at.end - at.start <= 1_024 ? valueOf(line, at) : undefined;
  if (!isRequestId(id)) return undefined;
  return typeof id === "string" || line.toString("latin1", at.start, at.end) === String(id)
    ? id
    : undefined;
}

/** The value of a scanned member. Only for lines that passed a strict scan: then it cannot throw. */
function valueOf(line: Buffer, at: Member): unknown {
  return JSON.parse(line.toString("utf8", at.start, at.end)) as unknown;
}
