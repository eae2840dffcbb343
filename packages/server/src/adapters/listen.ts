/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Denial } from "../denial.ts";
import type { Enforcer, IncomingCall, OpenCall } from "../enforce.ts";
import { isRecord } from "../json.ts";
import { type ProofEvidence, type Taken, provenBy, takeProof, withoutBody } from "./call-proof.ts";
import { enforcerOf, ownerOf } from "./inbound.ts";
import { CLIENT_INFO_KEY, PROTOCOL_VERSION_KEY } from "./sdk-v2.ts";
import { identified, parties, requestParts } from "./sdk-v1.ts";
import { bearerOf, isLocal } from "./transport.ts";

// SDK v2 serves `subscriptions/listen` before any Protocol instance sees it: in `serveStdio`, and in the `fetch` of
// `createMcpHandler`. It is gated there, on the wire. What reaches the SDK's router by a way that is not gated finds a
// server that offers no subscriptions, so it is refused: see `closeListen`.

/** The method that bypasses `Protocol` in SDK v2. */
const LISTEN = "subscriptions/listen";
/** Listens that may wait for their decision at one time, per wire. More are refused. The SDK's own cap is the same. */
const MAX_WAITING = 1_024;
/** Bodies up to this size are looked at; the SDK's default limit is the same, and refuses what is larger. */
const MAX_BODY_BYTES = 4 * 1_024 * 1_024;

const GATED_WIRE: unique symbol = Symbol.for("@countersign/server wire") as never;
const CLOSED: unique symbol = Symbol.for("@countersign/server listen") as never;

type Message = Readonly<Record<string, unknown>>;

interface Wire {
  onmessage?: (message: Message, extra?: unknown) => void;
  onerror?: (error: Error) => void;
  start: (this: Wire) => Promise<void>;
  send(message: object): Promise<void>;
  [GATED_WIRE]?: true;
}

/** Whether a value is a server transport whose incoming messages can be gated. */
export function isWire(value: object): boolean {
  return "start" in value && "send" in value && "close" in value && !("_requestHandlers" in value);
}

/** Whether a value is what `createMcpHandler` gives. */
export function isFetchHandler(value: object): value is FetchHandler {
  return (
    "fetch" in value && typeof value.fetch === "function" && "bus" in value && "notify" in value
  );
}

/** Gates the `subscriptions/listen` requests that arrive on a transport. Call it before the transport starts. Idempotent. */
export function gateWire(transport: object, enforcer: Enforcer): void {
  const wire = transport as Wire;
  if (wire[GATED_WIRE] === true) return;
  Object.defineProperty(wire, GATED_WIRE, { value: true });
  const start = wire.start;
  wire.start = function gatedStart(this: Wire): Promise<void> {
    const deliver = this.onmessage?.bind(this);
    const waiting = new Map<unknown, AbortController>();
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- a transport is no EventTarget
    this.onmessage = (message, extra) => {
      if (cancels(message, waiting)) return;
      if (message["method"] !== LISTEN || message["id"] === undefined) deliver?.(message, extra);
      else {
        const taken = takeProof(message);
        const pass = (): void => deliver?.(taken.message, extra);
        void listen({ wire: this, enforcer, waiting, deliver: pass }, taken);
      }
    };
    return start.call(this);
  };
}

/** A listen that waits for its decision and is cancelled: the SDK has not seen it, so it must not see this either. */
function cancels(message: Message, waiting: ReadonlyMap<unknown, AbortController>): boolean {
  if (message["method"] !== "notifications/cancelled" || !isRecord(message["params"])) return false;
  const found = waiting.get(message["params"]["requestId"]);
  found?.abort();
  return found !== undefined;
}

interface Listening {
  readonly wire: Wire;
  readonly enforcer: Enforcer;
  readonly waiting: Map<unknown, AbortController>;
  readonly deliver: () => void;
}

async function listen(
  { wire, enforcer, waiting, deliver }: Listening,
  { message, evidence }: Taken<Message>,
): Promise<void> {
  const id = message["id"];
  const cancel = new AbortController();
  const full = waiting.size >= MAX_WAITING || waiting.has(id);
  if (!full) waiting.set(id, cancel);
  const call = {
    ...listenCall(message, evidence),
    transport: isLocal(wire) ? "stdio" : "http",
    signal: cancel.signal,
  } as const;
  const opened: OpenCall = full ? await refused() : await enforcer.open(call);
  if (!full) waiting.delete(id);
  if (opened.effect === "run") {
    opened.run(deliver);
    opened.finish({ status: "completed" });
  } else if (!cancel.signal.aborted) {
    await wire
      .send({ jsonrpc: "2.0", id, error: errorOf(opened.denial) })
      .catch((error: unknown) => {
        wire.onerror?.(error as Error);
      });
  }
}

function listenCall(
  message: Message,
  evidence: ProofEvidence | undefined,
): Omit<IncomingCall, "transport" | "signal"> {
  const { meta, ...parts } = requestParts({ method: LISTEN, params: message["params"] });
  const version = meta?.[PROTOCOL_VERSION_KEY];
  return {
    ...parts,
    ...provenBy(evidence, message["params"]),
    ...(meta === undefined ? {} : { meta }),
    ...identified(message["id"] as string | number | undefined),
    ...(typeof version === "string" ? { protocolVersion: version } : {}),
    ...parties(meta?.[CLIENT_INFO_KEY], undefined),
    gate: "in_process",
  };
}

/** Too many wait, or the id is taken: nothing was asked, so there is nothing on record. Loaded only here. */
async function refused(): Promise<OpenCall> {
  const { unrecordedDenial } = await import("../denial.ts");
  return { effect: "block", denial: unrecordedDenial(LISTEN) };
}

/** Only `tools/call` is denied by a result; this is never one. */
function errorOf(denial: Denial): object {
  return denial.kind === "error" ? denial.error : denial.result;
}

/** What `createMcpHandler` gives: the members that we touch. */
export interface FetchHandler {
  fetch(request: Request, options?: FetchOptions): Promise<Response>;
}

interface FetchOptions {
  readonly authInfo?: unknown;
  readonly parsedBody?: unknown;
}

const allowed = new AsyncLocalStorage<true>();

/** Gates the `subscriptions/listen` requests of an HTTP handler, in place. Idempotent. */
export function gateFetch(handler: FetchHandler, enforcer: Enforcer): void {
  const marked = handler as FetchHandler & { [GATED_WIRE]?: true };
  if (marked[GATED_WIRE] === true) return;
  Object.defineProperty(marked, GATED_WIRE, { value: true });
  const original = handler.fetch.bind(handler);
  handler.fetch = async (request, options) => {
    const body = await listenMessage(request, options?.parsedBody);
    if (body === undefined) return original(request, options);
    const { message, evidence } = takeProof(body);
    const bearer = bearerOf(options?.authInfo, request.headers.get("authorization") ?? undefined);
    const call = {
      ...listenCall(message, evidence),
      ...bearer,
      transport: "http",
      signal: request.signal,
    } as const;
    const opened = await enforcer.open(call);
    if (opened.effect === "block") {
      return Response.json({ jsonrpc: "2.0", id: message["id"], error: errorOf(opened.denial) });
    }
    try {
      const stripped = { ...options, parsedBody: message };
      const pass = (): Promise<Response> =>
        evidence === undefined
          ? original(request, options)
          : original(withoutBody(request), stripped);
      return await allowed.run(true, () => opened.run(pass));
    } finally {
      opened.finish({ status: "completed" });
    }
  };
}

/** The listen request in a POST, if that is what it is. A batch never is: the modern era has none. */
async function listenMessage(request: Request, parsedBody: unknown): Promise<Message | undefined> {
  if (request.method.toUpperCase() !== "POST") return undefined;
  const body = parsedBody ?? (await peek(request));
  return isRecord(body) && body["method"] === LISTEN && body["id"] !== undefined ? body : undefined;
}

/** Only what says by its header that it listens is read here: the SDK refuses a header that disagrees with the body. */
async function peek(request: Request): Promise<unknown> {
  if (request.headers.get("mcp-method") !== LISTEN || request.body === null) return undefined;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request.clone().body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > MAX_BODY_BYTES) return undefined;
      chunks.push(chunk);
    }
    // As `Request.text()` reads it for the SDK: a byte order mark goes.
    return JSON.parse(new TextDecoder().decode(Buffer.concat(chunks)));
  } catch {
    return undefined;
  }
}

interface Capable {
  getCapabilities: (this: Capable) => Record<string, unknown>;
  connect: (this: Capable, transport: object) => Promise<void>;
  _transport?: object;
  [CLOSED]?: true;
}

/** What an entry point was told an unconnected server offers; completed when the server turns out to be behind a gated wire. */
const offers = new WeakMap<object, Record<string, unknown>>();

/**
 * Makes a server of SDK v2 offer no subscriptions to an entry point whose wire is not gated. The entry points ask an
 * instance that is not connected yet; the SDK then honours nothing of a listen. Everything else it asks later, connected.
 */
export function closeListen(target: object): void {
  const owner = ownerOf(target, "getCapabilities") as Capable | undefined;
  if (owner === undefined || Object.hasOwn(owner, CLOSED)) return;
  Object.defineProperty(owner, CLOSED, { value: true });
  const capabilities = owner.getCapabilities;
  owner.getCapabilities = function gatedCapabilities(this: Capable) {
    const real = capabilities.call(this);
    if (
      this._transport !== undefined ||
      enforcerOf(this) === undefined ||
      allowed.getStore() === true
    )
      return real;
    const offer = withoutSubscriptions(real);
    offers.set(this, offer);
    return offer;
  };
  const connect = owner.connect;
  owner.connect = function gatedConnect(this: Capable, transport: object): Promise<void> {
    const offer = offers.get(this);
    if (
      offer !== undefined &&
      "_wire" in transport &&
      (transport._wire as Wire)[GATED_WIRE] === true
    ) {
      Object.assign(offer, capabilities.call(this));
    }
    return connect.call(this, transport);
  };
}

/** A `false` stays: the SDK would read its absence as "yes, by default". */
function withoutSubscriptions(
  capabilities: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const offer: Record<string, unknown> = { ...capabilities };
  for (const kind of ["tools", "prompts", "resources"]) {
    const { [kind]: capability } = offer;
    if (!isRecord(capability)) continue;
    const kept = Object.entries(capability).filter(
      ([name, value]) => value === false || (name !== "listChanged" && name !== "subscribe"),
    );
    offer[kind] = Object.fromEntries(kept);
  }
  return offer;
}
