/**
 * What the gate does with a request (contract, section 5):
 * `guarded` its policy entry decides · `list` the answer is filtered · `task` the owner of the task decides ·
 * `pass` no decision, no event · `unmapped` denied.
 */
export type MethodClass = "guarded" | "list" | "task" | "pass" | "unmapped";

const CLASSES: ReadonlyMap<string, MethodClass> = new Map<string, MethodClass>([
  ["tools/call", "guarded"],
  ["resources/read", "guarded"],
  ["resources/subscribe", "guarded"],
  ["prompts/get", "guarded"],
  ["subscriptions/listen", "guarded"],
  ["completion/complete", "guarded"],
  ["tools/list", "list"],
  ["prompts/list", "list"],
  ["resources/list", "list"],
  ["resources/templates/list", "list"],
  ["initialize", "pass"],
  ["ping", "pass"],
  ["server/discover", "pass"],
  ["logging/setLevel", "pass"],
  ["resources/unsubscribe", "pass"],
]);

const PASSING_NOTIFICATIONS: ReadonlySet<string> = new Set([
  "notifications/initialized",
  "notifications/cancelled",
  "notifications/progress",
  "notifications/roots/list_changed",
]);

/** Methods whose end is recorded as an outcome; of the others the decision is all there is to tell. */
const WITH_OUTCOME: ReadonlySet<string> = new Set([
  "tools/call",
  "resources/read",
  "resources/subscribe",
  "prompts/get",
]);

/** The class of a client's request. Whatever is not in the table is `unmapped`, so a new method is denied until it is here. */
export function classify(method: string): MethodClass {
  return CLASSES.get(method) ?? (method.startsWith("tasks/") ? "task" : "unmapped");
}

/** Whether a client's notification may pass the guard; the rest is not forwarded, and counted. */
export function classifyNotification(method: string): "pass" | "drop" {
  return PASSING_NOTIFICATIONS.has(method) ? "pass" : "drop";
}

/** True if a call of this method that runs gets an `outcome` event. */
export function hasOutcome(method: string): boolean {
  return WITH_OUTCOME.has(method);
}
