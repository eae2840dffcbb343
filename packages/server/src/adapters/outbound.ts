import { enforcerOf, isClient, ownerOf } from "./inbound.ts";
import { isLocal } from "./transport.ts";

/** A request as the SDK's methods take it. */
interface Sending {
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>>;
}

interface Sender {
  _requestMessageId?: unknown;
  _transport?: object;
}

type Send = (this: Sender, ...given: unknown[]) => unknown;

const PATCHED: unique symbol = Symbol.for("@countersign/server outbound") as never;

/**
 * Gives the requests that a server sends (sampling, elicitation, roots) a CLIENT span and trace context.
 * `name` is the funnel of that SDK generation, `position` where the request stands among its arguments.
 */
export function patchOutbound(target: object, name: string, position: number): boolean {
  const owner = ownerOf(target, name) as (Record<string, Send> & { [PATCHED]?: true }) | undefined;
  const original = owner?.[name];
  if (owner === undefined || typeof original !== "function") return false;
  if (Object.hasOwn(owner, PATCHED)) return true;
  owner[name] = function tracedRequest(this: Sender, ...given) {
    const enforcer = isClient(this) ? undefined : enforcerOf(this);
    if (enforcer?.outgoing === undefined) return original.apply(this, given);
    const { method, params } = given[position] as Sending;
    const { _requestMessageId: id, _transport: transport } = this;
    const span = enforcer.outgoing({
      method,
      params,
      // The SDK gives out its ids one by one, and has not given out this one yet.
      requestId: typeof id === "number" ? id : undefined,
      transport: isLocal(transport) ? "stdio" : "http",
    });
    if (span.params !== undefined)
      given[position] = { ...(given[position] as Sending), params: span.params };
    return span.run(() => original.apply(this, given));
  };
  Object.defineProperty(owner, PATCHED, { value: true });
  return true;
}
