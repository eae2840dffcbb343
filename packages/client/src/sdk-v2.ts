import { patchEnvelope, patchNotifications, patchRequests } from "./outgoing.ts";

/** The funnel of all requests in SDK v2, multi-round retries included. v1 has none of that name. */
const V2_FUNNEL = "_requestWithSchemaViaCodec";

/** Whether an instance or a prototype is of SDK v2. */
export function isV2(target: object): boolean {
  return V2_FUNNEL in target;
}

/** SDK v2, both eras. `subscriptions/listen` is sent past `Protocol`: it gets its context with the SDK's own `_meta`. */
export function patchV2(target: object): boolean {
  return (
    patchRequests(target, V2_FUNNEL, 1) &&
    patchNotifications(target, "_notificationViaCodec", 1) &&
    patchEnvelope(target, "_outboundMetaEnvelope")
  );
}
