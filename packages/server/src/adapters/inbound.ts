/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import { classify } from "@countersign/gate/methods";
import type { IncomingCall, Enforcer, Ending } from "../enforce.ts";
import type { Denial } from "../denial.ts";
import { isRecord } from "../json.ts";
import {
  type ProofEvidence,
  claimEvidence,
  dispatchWith,
  provenBy,
  takeProof,
  withoutBody,
} from "./call-proof.ts";

/** A JSON-RPC request as both SDK generations hand it to a handler. */
export interface SdkRequest {
  readonly id?: string | number;
  readonly method: string;
  readonly params?: unknown;
}

/** A handler as the SDK stores it: raw request, then `RequestHandlerExtra` (v1) or `ServerContext` (v2). */
type SdkHandler = (request: SdkRequest, extra: unknown) => unknown;

/**
 * The parts of the SDK's `Protocol` that we stand on: the same in v1 and v2, private by type only.
 * `_onrequest` looks a handler up in `_requestHandlers` and starts it in a later microtask.
 */
export interface ProtocolInstance {
  _requestHandlers: Map<string, SdkHandler>;
  fallbackRequestHandler?: SdkHandler;
  _transport?: object;
  _serverInfo?: unknown;
  _onerror: (error: Error) => void;
  _onrequest: (this: ProtocolInstance, request: SdkRequest, extra?: unknown) => void;
  _onnotification?: (this: ProtocolInstance, notification: SdkRequest, extra?: unknown) => void;
}

/** What one SDK generation knows about itself. */
export interface SdkAdapter {
  /** The request as the SDK may see it. Default: as it came. */
  received?(request: SdkRequest): SdkRequest;
  /** Makes a call of a request and the context that its handler gets. */
  read(self: ProtocolInstance, request: SdkRequest, extra: unknown): IncomingCall;
  /** The same for a request without a handler, of what the transport told. */
  readBare(self: ProtocolInstance, request: SdkRequest, transportExtra: unknown): IncomingCall;
  /** Sees results that say something about the connection. */
  answered?(self: ProtocolInstance, request: SdkRequest, result: unknown): void;
}

interface Side {
  readonly self: ProtocolInstance;
  readonly adapter: SdkAdapter;
}

/** Where an instance, or the prototype of all of them, names its enforcer. An instance's own wins. */
const ENFORCER: unique symbol = Symbol.for("@countersign/server enforcer") as never;
const PATCHED: unique symbol = Symbol.for("@countersign/server inbound") as never;
const GATED: unique symbol = Symbol.for("@countersign/server gated") as never;

interface Marked {
  [ENFORCER]?: Enforcer;
  [PATCHED]?: true;
  [GATED]?: true;
}

/** Names the enforcer of one instance, or of a whole class by its prototype. */
export function setEnforcer(target: object, enforcer: Enforcer): void {
  Object.defineProperty(target, ENFORCER, { value: enforcer, configurable: true });
}

const GUARDED: unique symbol = Symbol.for("@countersign/server guarded") as never;
const shared = globalThis as { [GUARDED]?: true };

/** Notes that the application put the gate in front of a server by an explicit call, in whatever copy of this package. */
export function noteExplicit(): void {
  shared[GUARDED] = true;
}

/** Whether any copy of this package was told to guard a server. */
export function isExplicit(): boolean {
  return shared[GUARDED] === true;
}

/** The enforcer in charge of an instance, if any. */
export function enforcerOf(self: object): Enforcer | undefined {
  return (self as Marked)[ENFORCER];
}

/** One `Protocol` class serves both roles. Whatever is not plainly a client is gated. */
export function isClient(self: object): boolean {
  return "_clientInfo" in self && !("_serverInfo" in self);
}

/** The prototype in the chain of `target` that declares `name` itself. */
export function ownerOf(target: object, name: string): object | undefined {
  for (
    let at: object | null = target;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    if (Object.hasOwn(at, name)) return at;
  }
  return undefined;
}

/**
 * Puts the gate behind `_onrequest`, and takes call proofs out of whatever arrives, before the SDK looks at it. It stays synchronous: v2 maps dispatch errors to HTTP status inside that window.
 * Handlers are wrapped when they are looked up, so instances that were connected before are covered, and so is
 * whatever is registered later. Returns false when this copy of the SDK has no such method. Idempotent.
 */
export function patchInbound(target: object, adapter: SdkAdapter): boolean {
  const owner = ownerOf(target, "_onrequest") as (ProtocolInstance & Marked) | undefined;
  if (owner === undefined || typeof owner._onrequest !== "function") return false;
  if (Object.hasOwn(owner, PATCHED)) return true;
  if (!patchNotifications(target)) return false;
  const original = owner._onrequest;
  owner._onrequest = function gatedOnRequest(this: ProtocolInstance, given, extra): void {
    if (!isGatedInstance(this)) {
      original.call(this, given, extra);
      return;
    }
    const { message, evidence } = takeProof(given);
    const request = adapter.received?.(message) ?? message;
    const arrived = { request, evidence, extra: evidence === undefined ? extra : bare(extra) };
    if (!gateHandler({ self: this, adapter }, arrived)) return;
    dispatchWith(evidence, () => original.call(this, request, arrived.extra));
  };
  Object.defineProperty(owner, PATCHED, { value: true });
  return true;
}

/** Nobody needs a proof on a notification; should one carry it, no handler sees it. */
function patchNotifications(target: object): boolean {
  const owner = ownerOf(target, "_onnotification") as ProtocolInstance | undefined;
  if (owner === undefined || typeof owner._onnotification !== "function") return false;
  const original = owner._onnotification;
  owner._onnotification = function strippedOnNotification(this: ProtocolInstance, given, extra) {
    original.call(this, isGatedInstance(this) ? takeProof(given).message : given, extra);
  };
  return true;
}

function isGatedInstance(self: object): boolean {
  return enforcerOf(self) !== undefined && !isClient(self);
}

/** What the transport tells, without an HTTP body that still holds the proof (v2 hands the `Request` to handlers). */
function bare(extra: unknown): unknown {
  if (!isRecord(extra) || !(extra["request"] instanceof Request)) return extra;
  return { ...extra, request: withoutBody(extra["request"]) };
}

/** A request on its way to its handler. */
interface Arrived {
  readonly request: SdkRequest;
  readonly evidence: ProofEvidence | undefined;
  readonly extra: unknown;
}

/** Wraps the handler that `_onrequest` is about to find. False: there is no telling what it would find; drop the request. */
function gateHandler({ self, adapter }: Side, arrived: Arrived): boolean {
  const { request } = arrived;
  const handlers: unknown = self._requestHandlers;
  if (!(handlers instanceof Map)) {
    self._onerror(
      new Error(
        "server.inbound: this copy of the MCP SDK keeps its handlers elsewhere; request refused",
      ),
    );
    return false;
  }
  const found = (handlers as Map<string, SdkHandler>).get(request.method);
  if (found !== undefined) {
    if (!isGated(found)) handlers.set(request.method, gated({ self, adapter }, found));
    return true;
  }
  const fallback = self.fallbackRequestHandler;
  if (fallback === undefined) recordUnhandled({ self, adapter }, arrived);
  else if (!isGated(fallback)) self.fallbackRequestHandler = gated({ self, adapter }, fallback);
  return true;
}

/** Nothing can run, and the SDK says so itself (-32601). That somebody asked for what nobody mapped is on record all the same. */
function recordUnhandled({ self, adapter }: Side, { request, evidence, extra }: Arrived): void {
  const enforcer = enforcerOf(self);
  if (enforcer === undefined || classify(request.method) !== "unmapped") return;
  const proven = provenBy(evidence, request.params);
  void enforcer.open({ ...adapter.readBare(self, request, extra), ...proven }).then((opened) => {
    if (opened.effect === "run") opened.finish({ status: "rpc_error", rpcCode: METHOD_NOT_FOUND });
    return undefined;
  });
}

function isGated(handler: SdkHandler): boolean {
  return (handler as Marked)[GATED] === true;
}

function gated({ self, adapter }: Side, handler: SdkHandler): SdkHandler {
  const wrapped = async (request: SdkRequest, extra: unknown): Promise<unknown> => {
    const evidence = claimEvidence();
    const enforcer = enforcerOf(self);
    if (enforcer === undefined) return handler(request, extra);
    const proven = provenBy(evidence, request.params);
    const call = { ...adapter.read(self, request, extra), ...proven };
    const result = await runGated({ enforcer, call }, () => handler(request, extra));
    adapter.answered?.(self, request, result);
    return result;
  };
  return Object.assign(wrapped, { [GATED]: true });
}

/** Decides, runs, reports. The handler's own error goes on unchanged. */
async function runGated(
  { enforcer, call }: { enforcer: Enforcer; call: IncomingCall },
  run: () => unknown,
): Promise<unknown> {
  const opened = await enforcer.open(call);
  if (opened.effect === "block") return answer(opened.denial);
  let result: unknown;
  try {
    result = await opened.run(run);
  } catch (error) {
    opened.finish(call.signal.aborted ? { status: "cancelled" } : failure(error));
    throw error;
  }
  if (opened.filter !== undefined) {
    // What is no object holds no list that could be shown.
    const filtered = await opened.filter(isRecord(result) ? result : {});
    if ("denial" in filtered) return answer(filtered.denial);
    result = filtered.result;
  }
  opened.finish(call.signal.aborted ? { status: "cancelled" } : ending(result));
  return result;
}

/** A plain `Error` with `code` and `data`: the SDK's own class would put its prefix before the text, twice. */
function answer(denial: Denial): unknown {
  if (denial.kind === "result") return denial.result;
  const { code, message, data } = denial.error;
  throw Object.assign(new Error(message), data === undefined ? { code } : { code, data });
}

const INTERNAL_ERROR = -32603;
const METHOD_NOT_FOUND = -32601;

function failure(error: unknown): Ending {
  const code =
    isRecord(error) || error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return {
    status: "rpc_error",
    rpcCode: Number.isSafeInteger(code) ? (code as number) : INTERNAL_ERROR,
  };
}

function ending(result: unknown): Ending {
  if (!isRecord(result)) return { status: "completed" };
  if (result["resultType"] === "input_required") return { status: "input_required" };
  const { task } = result;
  if (isRecord(task) && typeof task["taskId"] === "string") {
    return { status: "task_created", taskId: task["taskId"] };
  }
  return { status: result["isError"] === true ? "tool_error" : "completed" };
}
