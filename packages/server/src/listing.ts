import type { ListEntry, McpCall } from "@countersign/gate";
import { isRecord } from "./json.ts";

/** First protocol revision in which a list result says who may cache it (`cacheScope`). */
const CACHE_SCOPE_SINCE = "2026-07-28";

interface ListShape {
  /** Member of the result that holds the entries. */
  readonly member: string;
  entry(item: Record<string, unknown>): ListEntry | undefined;
}

function named(kind: "tool" | "prompt"): ListShape["entry"] {
  return ({ name }) => (typeof name === "string" ? { kind, name } : undefined);
}

const LISTS: Readonly<Record<string, ListShape>> = {
  "tools/list": { member: "tools", entry: named("tool") },
  "prompts/list": { member: "prompts", entry: named("prompt") },
  "resources/list": {
    member: "resources",
    entry: ({ uri }) => (typeof uri === "string" ? { kind: "resource", uri } : undefined),
  },
  "resources/templates/list": {
    member: "resourceTemplates",
    entry: ({ uriTemplate }) =>
      typeof uriTemplate === "string" ? { kind: "resource_template", uriTemplate } : undefined,
  },
};

/** Whether the result of `method` is a list that we know how to filter. */
export function isListMethod(method: string): boolean {
  return Object.hasOwn(LISTS, method);
}

function items(shape: ListShape, result: Readonly<Record<string, unknown>>): readonly unknown[] {
  const found = result[shape.member];
  return Array.isArray(found) ? found : [];
}

function entryOf(shape: ListShape, item: unknown): ListEntry | undefined {
  return isRecord(item) ? shape.entry(item) : undefined;
}

/** What the server offers, in its order. An item without its name or URI cannot be decided, so it is no offer. */
export function offeredBy(
  method: string,
  result: Readonly<Record<string, unknown>>,
): readonly ListEntry[] {
  const shape = LISTS[method];
  if (shape === undefined) return [];
  return items(shape, result)
    .map((item) => entryOf(shape, item))
    .filter((entry) => entry !== undefined);
}

/**
 * The result with the entries that may be shown; `shown` is parallel to what {@link offeredBy} gave.
 * A filtered list is one caller's own: no shared cache may keep it (MCP 2026-07-28, caching).
 */
export function onlyShown(
  call: Pick<McpCall, "method" | "protocolVersion">,
  result: Record<string, unknown>,
  shown: readonly boolean[],
): Record<string, unknown> {
  const shape = LISTS[call.method];
  if (shape === undefined) return result;
  let position = 0;
  const kept = items(shape, result).filter((item) => {
    if (entryOf(shape, item) === undefined) return false;
    const show = shown[position] === true;
    position += 1;
    return show;
  });
  const modern = (call.protocolVersion ?? "") >= CACHE_SCOPE_SINCE;
  const scoped = modern || Object.hasOwn(result, "cacheScope") ? { cacheScope: "private" } : {};
  return { ...result, [shape.member]: kept, ...scoped };
}
