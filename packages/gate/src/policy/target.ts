import type { ListEntry } from "../call.ts";
import type { Rule } from "./match.ts";
import type { Policy } from "./policy.ts";
import type { Scope } from "./resource.ts";

/** What a call reaches for: the policy entry that decides about it, and the values its templates may use. */
export interface Target {
  /** The tool's or prompt's name; a URI is never recorded as a name, it can carry a path or a password. */
  readonly name?: string;
  /** The policy spells the name out. */
  readonly nameKnown: boolean;
  /** Absent: unmapped. */
  readonly rule?: Rule;
  readonly scope: Scope;
  /** The server may read the URI as another one than the policy did. */
  readonly ambiguous: boolean;
}

/** Marks a variable of a URI template that has no value yet, so a template that needs it finds none. No URI holds it. */
const NO_VALUE = "\u0000";
const MAX_TARGETS = 32;
/** What a variable can stand for without making another URI of it. */
const SEGMENT = /^[^/?#\\]+$/;
/** No pattern matches a longer URI. Values are looked at before they are put in: a short template could use a long one often. */
const MAX_URI_CHARS = 4096;
const VARIABLE = /\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

type Params = Readonly<Record<string, unknown>>;
type Targets = readonly Target[] | "malformed" | "too_many_checks";

/** The targets of a guarded request. Most have one; `subscriptions/listen` has one for each URI. */
export function targetsOf(policy: Policy, method: string, params: unknown): Targets {
  if (!isRecord(params)) return "malformed";
  switch (method) {
    case "tools/call":
      return named(policy.tools, params["name"], params["arguments"]);
    case "prompts/get":
      return named(policy.prompts, params["name"], params["arguments"]);
    case "resources/read":
    case "resources/subscribe":
      return typeof params["uri"] === "string" ? [byGiven(policy, params["uri"])] : "malformed";
    case "subscriptions/listen":
      return listened(policy, params["notifications"]);
    case "completion/complete":
      return completed(policy, params);
    default:
      return "malformed";
  }
}

/** The target of a list entry: nothing is known but its name or URI. */
export function targetOfEntry(policy: Policy, entry: ListEntry): Target {
  if ("uri" in entry) return byGiven(policy, entry.uri);
  if ("uriTemplate" in entry) return byUri(policy, expand(entry.uriTemplate, undefined));
  return byName(policy[entry.kind === "tool" ? "tools" : "prompts"], entry.name, undefined);
}

function named(rules: Policy["tools"], name: unknown, args: unknown): Targets {
  if (typeof name !== "string" || name === "") return "malformed";
  if (args !== undefined && !isRecord(args)) return "malformed";
  return [byName(rules, name, args)];
}

function byName(rules: Policy["tools"], name: string, args: Params | undefined): Target {
  const rule = rules.find(name);
  const scope = { name, arguments: args ?? {} };
  const target = { name, nameKnown: rules.knows(name), scope, ambiguous: false };
  return rule === undefined ? target : { ...target, rule };
}

/** A URI that somebody wrote, not one of ours with gaps in it. */
function byGiven(policy: Policy, uri: string): Target {
  const target = byUri(policy, uri);
  return uri.includes(NO_VALUE) ? { ...target, ambiguous: true } : target;
}

function byUri(policy: Policy, uri: string): Target {
  const match = policy.resources.find(uri);
  if (match === undefined) return { nameKnown: false, scope: { uri }, ambiguous: false };
  const known = Object.entries({ ...match.variables, uri }).filter(
    ([, value]) => !value.includes(NO_VALUE),
  );
  return {
    nameKnown: false,
    rule: match.rule,
    scope: Object.fromEntries(known),
    ambiguous: match.ambiguous,
  };
}

/** MCP 2026-07-28: `notifications.resourceSubscriptions` lists the URIs; the other members subscribe to "a list changed". */
function listened(policy: Policy, notifications: unknown): Targets {
  if (!isRecord(notifications)) return "malformed";
  const uris = notifications["resourceSubscriptions"] ?? [];
  if (!Array.isArray(uris) || !uris.every((uri) => typeof uri === "string")) return "malformed";
  const distinct = new Set<string>(uris);
  return distinct.size > MAX_TARGETS
    ? "too_many_checks"
    : [...distinct].map((uri) => byGiven(policy, uri));
}

/**
 * `completion/complete` is judged by the entry of its `ref`. What is being completed has no value yet, so an entry whose
 * resource needs it cannot be decided: `context.arguments` holds what the user filled in before, and nothing else counts.
 */
function completed(policy: Policy, params: Params): Targets {
  const { ref, argument, context } = params;
  if (!isRecord(ref) || !isRecord(argument) || (context !== undefined && !isRecord(context)))
    return "malformed";
  const filledIn = context?.["arguments"];
  const completing = argument["name"];
  if (typeof completing !== "string" || (filledIn !== undefined && !isRecord(filledIn)))
    return "malformed";
  // A caller who gives what is being completed a value would be judged by that value and shown the completions of another.
  const { [completing]: _completing, ...known } = filledIn ?? {};
  if (ref["type"] === "ref/prompt") return named(policy.prompts, ref["name"], known);
  if (ref["type"] !== "ref/resource" || typeof ref["uri"] !== "string") return "malformed";
  return [byUri(policy, expand(ref["uri"], known))];
}

function expand(uriTemplate: string, values: Params | undefined): string {
  if (uriTemplate.length > MAX_URI_CHARS) return uriTemplate;
  return uriTemplate.replaceAll(VARIABLE, (_, name: string) => {
    const value = values !== undefined && Object.hasOwn(values, name) ? values[name] : undefined;
    const fits = typeof value === "string" && value.length <= MAX_URI_CHARS && SEGMENT.test(value);
    return fits ? value : NO_VALUE;
  });
}

function isRecord(value: unknown): value is Params {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
