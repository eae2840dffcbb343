import { patchNotifications, patchRequests } from "./outgoing.ts";

/**
 * SDK v1: everything that a `Client` sends goes through `request` or `notification`. Progress token and related task are
 * merged into `_meta` after us and survive.
 */
export function patchV1(target: object): boolean {
  return patchRequests(target, "request", 0) && patchNotifications(target, "notification", 0);
}
