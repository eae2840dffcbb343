/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import { context, trace } from "@opentelemetry/api";
import { serverUrl } from "./audience.ts";
import type { CallProofs } from "./call-proofs.ts";
import { injectInto, isRecord, parentOf } from "./inject.ts";
import { proveSends } from "./sending.ts";
import { type ClientSpans, type OutgoingCall } from "./spans.ts";

type Params = Readonly<Record<string, unknown>>;

/** A request or notification as the SDK's methods take it. */
interface Message {
  readonly method: string;
  readonly params?: Params;
}

/** The parts of the SDK's `Protocol` that we stand on: the same in v1 and v2, private by type only. */
interface ProtocolInstance {
  _requestMessageId?: unknown;
  _transport?: object;
  _negotiatedProtocolVersion?: unknown;
  _options?: { readonly debouncedNotificationMethods?: readonly string[] };
}

type Method = (this: ProtocolInstance, ...given: unknown[]) => unknown;

/** Where an instance, or the prototype of all of them, names its spans and its proofs. An instance's own win. */
const SPANS: unique symbol = Symbol.for("@countersign/client spans") as never;
const PROOFS: unique symbol = Symbol.for("@countersign/client proofs") as never;

/** What is switched on for a client. */
export interface Instrumented {
  readonly spans: ClientSpans;
  /** Absent: its calls carry no proof. */
  readonly proofs?: CallProofs | undefined;
}

/** Switches one instance on, or a whole class by its prototype. */
export function switchOn(target: object, { spans, proofs }: Instrumented): void {
  Object.defineProperty(target, SPANS, { value: spans, configurable: true });
  // Said once, a login stays: to instrument again (for spans, by `register` too) must not take it away.
  if (proofs !== undefined)
    Object.defineProperty(target, PROOFS, { value: proofs, configurable: true });
}

/** One `Protocol` class serves both roles; what a server sends is the server package's business. */
function spansOf(self: object): ClientSpans | undefined {
  return "_serverInfo" in self ? undefined : (self as { [SPANS]?: ClientSpans })[SPANS];
}

/** Sees to it that what this client is about to send is proven. Here and not when it connects: it may be connected already. */
function prepareTransport(self: ProtocolInstance): void {
  const { [PROOFS]: proofs } = self as { [PROOFS]?: CallProofs };
  if (proofs !== undefined && !("_serverInfo" in self)) proveSends(self._transport, proofs);
}

/** The prototype in the chain of `target` that declares `name` itself. */
function ownerOf(target: object, name: string): Record<string, Method> | undefined {
  for (
    let at: object | null = target;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  ) {
    if (Object.hasOwn(at, name)) return at as Record<string, Method>;
  }
  return undefined;
}

/** Replaces a prototype's method once. False when this copy of the SDK has no such method. */
function patch(target: object, name: string, wrap: (original: Method) => Method): boolean {
  const owner = ownerOf(target, name);
  const original = owner?.[name];
  if (owner === undefined || typeof original !== "function") return false;
  // On the owner, not on the method: somebody else may wrap it after us.
  const mark = Symbol.for(`@countersign/client patched ${name}`);
  if (Object.hasOwn(owner, mark)) return true;
  owner[name] = wrap(original);
  Object.defineProperty(owner, mark, { value: true });
  return true;
}

/** Gives every request a CLIENT span and trace context. `name` is the SDK's funnel, `position` the request's place in it. */
export function patchRequests(target: object, name: string, position: number): boolean {
  return patch(
    target,
    name,
    (original) =>
      function tracedRequest(...given) {
        const spans = spansOf(this);
        if (spans === undefined) return original.apply(this, given);
        prepareTransport(this);
        const request = given[position] as Message;
        const parent = parentOf(request.params);
        const span = spans.start(describe(this, request), parent);
        const active = trace.setSpan(parent, span);
        given[position] = withParams(request, injectInto(active, request.params));
        let sent: Promise<unknown>;
        try {
          sent = context.with(active, () => original.apply(this, given)) as Promise<unknown>;
        } catch (error) {
          spans.failed(span, error);
          throw error;
        }
        // Beside the caller's own promise, which goes back untouched.
        Promise.resolve(sent).then(
          (result) => {
            remember(this, request.method, result);
            spans.answered(span, result);
            return undefined;
          },
          (error: unknown) => spans.failed(span, error),
        );
        return sent;
      },
  );
}

/** Gives notifications the active trace context; they have no span of their own. */
export function patchNotifications(target: object, name: string, position: number): boolean {
  return patch(
    target,
    name,
    (original) =>
      function tracedNotification(...given) {
        const notification = given[position] as Message;
        if (spansOf(this) === undefined || isDebounced(this, notification))
          return original.apply(this, given);
        given[position] = withParams(
          notification,
          injectInto(context.active(), notification.params),
        );
        return original.apply(this, given);
      },
  );
}

/** The SDK debounces a notification only while it has no params: leave those alone. */
function isDebounced(self: ProtocolInstance, { method, params }: Message): boolean {
  return (
    params === undefined && self._options?.debouncedNotificationMethods?.includes(method) === true
  );
}

/** v2: `_meta` that the SDK adds by itself, also to `subscriptions/listen`, which no request method sees. */
export function patchEnvelope(target: object, name: string): boolean {
  return patch(
    target,
    name,
    (original) =>
      function tracedEnvelope(...given) {
        prepareTransport(this);
        const envelope = original.apply(this, given);
        if (spansOf(this) === undefined || !isRecord(envelope)) return envelope;
        const injected = injectInto(context.active(), undefined)?.["_meta"];
        // What a caller or a span put there comes later in the SDK, and wins.
        return isRecord(injected) ? { ...envelope, ...injected } : envelope;
      },
  );
}

function withParams(message: Message, params: Params | undefined): Message {
  return params === undefined ? message : { ...message, params };
}

const MAX_KNOWN_NAMES = 1_024;
const KNOWN: unique symbol = Symbol.for("@countersign/client names") as never;

/** Names that this connection's server listed: what they say is the server's text, not the model's. */
function knownNames(self: object): Set<string> {
  const holder = self as { [KNOWN]?: Set<string> };
  if (!Object.hasOwn(holder, KNOWN))
    Object.defineProperty(holder, KNOWN, { value: new Set<string>() });
  return holder[KNOWN] as Set<string>;
}

const LISTS: Readonly<Record<string, { member: string; method: string }>> = {
  "tools/list": { member: "tools", method: "tools/call" },
  "prompts/list": { member: "prompts", method: "prompts/get" },
};

function remember(self: object, method: string, result: unknown): void {
  const list = LISTS[method];
  const items = list !== undefined && isRecord(result) ? result[list.member] : undefined;
  if (list === undefined || !Array.isArray(items)) return;
  const names = knownNames(self);
  for (const item of items) {
    if (names.size >= MAX_KNOWN_NAMES) return;
    if (isRecord(item) && typeof item["name"] === "string")
      names.add(`${list.method} ${item["name"]}`);
  }
}

function describe(self: ProtocolInstance, { method, params }: Message): OutgoingCall {
  const url = serverUrl(self._transport);
  const { _requestMessageId: id, _negotiatedProtocolVersion: negotiated } = self;
  return {
    method,
    params,
    // The SDK gives out its ids one by one, and has not given out this one yet.
    requestId: typeof id === "number" ? id : undefined,
    protocolVersion:
      typeof negotiated === "string" ? negotiated : transportVersion(self._transport),
    transport: url === undefined ? "stdio" : "http",
    server: url,
    nameKnown: knownNames(self).has(`${method} ${String(params?.["name"])}`),
  };
}

/** v1 keeps the agreed revision on its HTTP transport only. */
function transportVersion(transport: object | undefined): string | undefined {
  if (transport === undefined || !("_protocolVersion" in transport)) return undefined;
  return typeof transport._protocolVersion === "string" ? transport._protocolVersion : undefined;
}
