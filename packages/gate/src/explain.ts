import type { Assurance, ObjectRef, Reason } from "@countersign/model";
import { classify, type MethodClass } from "./methods.ts";
import { stricterOf } from "./policy/compile.ts";
import type { Policy } from "./policy/policy.ts";
import { questionsOf } from "./policy/questions.ts";
import { targetsOf } from "./policy/target.ts";

/** One JSON-RPC request, as `countersign policy explain` reads it. */
export interface ExplainRequest {
  readonly method?: unknown;
  readonly params?: unknown;
}

/** A check that a request would make. */
export interface ExplainedCheck {
  readonly permission: string;
  readonly resource: ObjectRef;
  /** The policy's template: who asks is not known here. */
  readonly subject: string;
  readonly contextKeys?: readonly string[];
}

/** What the policy makes of one request. Nothing is asked, decided or recorded. */
export interface Explanation {
  readonly method: string;
  readonly class: MethodClass;
  /** Policy entries that match, as `tools.read_ticket`. */
  readonly rules: readonly string[];
  /** The weakest assurance of the human that the request needs. */
  readonly minimum: Assurance;
  /** In the order in which they would be made; all must hold. */
  readonly checks: readonly ExplainedCheck[];
  /** Why the request is denied whoever asks; absent if it is up to identity and authorizer. */
  readonly denied?: Reason;
  /** Sentences for a reader. Values of arguments occur only where they became part of an object id. */
  readonly why: readonly string[];
}

const OF_CLASS: Readonly<Record<MethodClass, string>> = {
  guarded: "The policy entry it names decides.",
  list: "It runs, and the answer is filtered: entries that are mapped, and whose own list checks hold, are shown.",
  task: "Only who made the task may ask about it, in the process that made it.",
  pass: "It passes without a decision and leaves no event.",
  unmapped: "The method is not in the method table, so it is denied.",
};

const OF_FAULT: Readonly<Partial<Record<Reason, string>>> = {
  malformed: "Its params do not have the form of the method.",
  unmapped: "No policy entry matches, and the default is deny.",
  resource_invalid:
    "A value that an object id or a condition needs is missing, of the wrong type, too long, or must not be recorded.",
  no_checks: "It names no object, and all of nothing is not permission.",
  too_many_checks: "It needs more than 32 checks, or more than one event can hold.",
};

/** For one request: the checks it would make, and why. */
export function explain(policy: Policy, request: ExplainRequest): Explanation {
  const method = typeof request.method === "string" ? request.method : "";
  const kind = classify(method);
  const base = {
    method,
    class: kind,
    minimum: policy.identity.minimum,
    rules: [],
    checks: [],
    why: [OF_CLASS[kind]],
  };
  if (kind === "unmapped") return { ...base, denied: "unmapped" };
  if (kind !== "guarded") return base;
  const targets = targetsOf(policy, method, request.params);
  if (typeof targets === "string") return denied(base, targets);
  const rules = targets.flatMap(({ rule }) => (rule === undefined ? [] : [rule]));
  const minimum = rules.reduce<Assurance>(
    (floor, rule) => stricterOf(floor, rule.minimum) ?? floor,
    base.minimum,
  );
  const known = { ...base, minimum, rules: [...new Set(rules.map(({ name }) => name))] };
  if (rules.length < targets.length) return denied(known, "unmapped");
  const questions = questionsOf(policy, targets, { type: policy.identity.subject.type, id: "-" });
  if (typeof questions === "string") return denied(known, questions);
  const checks = questions.map(({ permission, resource, context }) => ({
    permission,
    resource,
    subject: policy.identity.subject.text,
    ...(context === undefined ? {} : { contextKeys: Object.keys(context).toSorted() }),
  }));
  return {
    ...known,
    checks,
    why: [...known.why, `All ${checks.length} of its checks must be allowed.`],
  };
}

function denied(known: Explanation, reason: Reason): Explanation {
  return { ...known, denied: reason, why: [...known.why, OF_FAULT[reason] ?? reason] };
}
