import { CountersignError, stderrLogger } from "@countersign/model";
import { type CallProofs, type ProofOptions, createCallProofs } from "./call-proofs.ts";
import { type Instrumented, switchOn } from "./outgoing.ts";
import { patchV1 } from "./sdk-v1.ts";
import { isV2, patchV2 } from "./sdk-v2.ts";
import { type SpanOptions, createClientSpans } from "./spans.ts";

/** Options of {@link instrumentClient}. */
export type ClientOptions = SpanOptions & ProofOptions;

/**
 * Gives the requests of an MCP client CLIENT spans, and puts W3C trace context into `params._meta` of its requests and
 * notifications. With a `credential`, every request that a gate decides also carries a call proof: who asks, signed for
 * this one call. Takes a `Client` of SDK v1 or v2, or its class (all instances). Before or after connecting; again changes
 * the options. Of payload, only the digest in a proof is taken; nothing of it is kept or shown.
 *
 * A call that cannot be proven is rejected and not sent: UNAVAILABLE (the helper failed), INPUT_INVALID (the login token
 * may not travel), OVERLOADED (1,024 messages wait). When nobody is logged in it goes without a proof.
 *
 * @throws CountersignError CONFIG_INVALID: this is no MCP client.
 */
export function instrumentClient(client: object, options: ClientOptions = {}): void {
  const target =
    typeof client === "function" ? (client as { prototype?: object }).prototype : client;
  const instrumented = { spans: createClientSpans(options), proofs: proofsOf(options) };
  if (target === undefined || !patchTarget(target, instrumented)) {
    throw new CountersignError(
      "CONFIG_INVALID",
      "client.instrument: this is no MCP client; pass the Client of SDK v1 or v2, or its class",
    );
  }
}

/** Patches the classes behind an instance or a prototype and switches it on. False: it is built differently. */
export function patchTarget(target: object, instrumented: Instrumented): boolean {
  if (!("_onrequest" in target) || !(isV2(target) ? patchV2(target) : patchV1(target)))
    return false;
  switchOn(target, instrumented);
  return true;
}

/** The proofs that the options ask for. */
export function proofsOf({ credential, audience }: ProofOptions): CallProofs | undefined {
  if (credential === undefined) return undefined;
  return createCallProofs({ credential, audience, log: stderrLogger("client") });
}
