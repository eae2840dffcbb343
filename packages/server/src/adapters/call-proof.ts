import { AsyncLocalStorage } from "node:async_hooks";
import { META_CALL_PROOF } from "@countersign/model/names";
import type { IncomingCall } from "../enforce.ts";
import { isRecord } from "../json.ts";

/** What a message proves: the proof as it came, and the params that it is about (all of them, without the proof). */
export interface ProofEvidence {
  readonly proof: unknown;
  readonly sentParams: unknown;
}

/** A message that anybody may see, and what was in it for the gate alone. */
export interface Taken<Message> {
  readonly message: Message;
  readonly evidence?: ProofEvidence;
}

/** Takes the call proof out of `params._meta`. The caller's objects stay as they are: a link in the process shares them. */
export function takeProof<Message extends { readonly params?: unknown }>(
  message: Message,
): Taken<Message> {
  const { params } = message;
  const meta = isRecord(params) ? params["_meta"] : undefined;
  if (!isRecord(params) || !isRecord(meta) || !Object.hasOwn(meta, META_CALL_PROOF))
    return { message };
  const { [META_CALL_PROOF]: proof, ...rest } = meta;
  const sentParams = { ...params, _meta: rest };
  return {
    message: { ...message, params: sentParams },
    // An object of this message's own: the gate tells by it a message that is decided again from one that is sent again.
    evidence: { proof: isRecord(proof) ? { ...proof } : proof, sentParams },
  };
}

/** The members of a call that carry the evidence. `params`: what the SDK left of the params on the way to the handler. */
export function provenBy(
  evidence: ProofEvidence | undefined,
  params: unknown,
): Pick<IncomingCall, "proof" | "sentParams"> {
  if (evidence === undefined) return {};
  const { proof, sentParams } = evidence;
  return sentParams === params ? { proof } : { proof, sentParams };
}

// The SDK hands a copy of the request to the handler, in a later microtask and without a place for anything of ours: what
// was taken out waits in the async context. It is claimed before the handler starts, so nothing downstream finds it.
const waiting = new AsyncLocalStorage<{ evidence: ProofEvidence | undefined }>();

/** Dispatches a request while its evidence waits for {@link claimEvidence}. */
export function dispatchWith<T>(evidence: ProofEvidence | undefined, dispatch: () => T): T {
  const nothing = evidence === undefined && waiting.getStore() === undefined;
  return nothing ? dispatch() : waiting.run({ evidence }, dispatch);
}

/** The evidence of the request that is being handled. Once: afterwards there is none. */
export function claimEvidence(): ProofEvidence | undefined {
  const box = waiting.getStore();
  const evidence = box?.evidence;
  if (box !== undefined) box.evidence = undefined;
  return evidence;
}

/** A request's HTTP face without its body, when that is still unread: the proof is in there as well. */
export function withoutBody(request: Request): Request {
  if (request.body === null || request.bodyUsed) return request;
  const { method, headers, signal } = request;
  return new Request(request.url, { method, headers, signal });
}
