import { CountersignError } from "@countersign/model";
import { setSpans } from "./outgoing.ts";
import { patchV1 } from "./sdk-v1.ts";
import { isV2, patchV2 } from "./sdk-v2.ts";
import { type ClientSpans, type SpanOptions, createClientSpans } from "./spans.ts";

/**
 * Gives the requests of an MCP client CLIENT spans, and puts W3C trace context into `params._meta` of its requests and
 * notifications. Takes a `Client` of SDK v1 or v2, or its class (all instances). Before or after connecting; again does
 * nothing. Payload is never read: no argument, no result.
 *
 * @throws CountersignError CONFIG_INVALID: this is no MCP client.
 */
export function instrumentClient(client: object, options: SpanOptions = {}): void {
  const target =
    typeof client === "function" ? (client as { prototype?: object }).prototype : client;
  if (target === undefined || !patchTarget(target, createClientSpans(options))) {
    throw new CountersignError(
      "CONFIG_INVALID",
      "client.instrument: this is no MCP client; pass the Client of SDK v1 or v2, or its class",
    );
  }
}

/** Patches the classes behind an instance or a prototype and switches it on. False: it is built differently. */
export function patchTarget(target: object, spans: ClientSpans): boolean {
  if (!("_onrequest" in target) || !(isV2(target) ? patchV2(target) : patchV1(target)))
    return false;
  setSpans(target, spans);
  return true;
}
