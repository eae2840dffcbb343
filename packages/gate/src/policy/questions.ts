import { type Human, leakInIds, type ObjectRef, overBound } from "@countersign/model";
import type { CheckRequest } from "../check/checker.ts";
import type { CheckTemplate } from "./match.ts";
import type { Policy } from "./policy.ts";
import {
  MAX_CHECKS,
  resolveContext,
  type ResourceFault,
  resolveIds,
  type ResourceOptions,
} from "./resource.ts";
import type { Target } from "./target.ts";

const NO_ROOT: ResourceOptions = {};

/** Who the authorizer is asked about; `undefined` if the template needs a human and there is none, or gives no id. */
export function subjectOf(policy: Policy, human: Human | undefined): ObjectRef | undefined {
  const template = policy.identity.subject;
  const ids = resolveIds(template, human === undefined ? {} : { human });
  return typeof ids === "string" ? undefined : { type: template.type, id: ids[0] as string };
}

/**
 * The distinct questions of a call, in policy order, or why there are none to ask. Everything that could keep the decision
 * out of the record is found here, before anything is sent: ids over a bound, and ids in which a detector fires.
 */
export function questionsOf(
  policy: Policy,
  targets: readonly Target[],
  subject: ObjectRef,
): readonly CheckRequest[] | ResourceFault {
  const questions = new Map<string, CheckRequest>();
  const options = optionsOf(policy);
  for (const target of targets) {
    if (target.ambiguous) return "resource_invalid";
    for (const template of target.rule?.checks ?? []) {
      const fault = addQuestions(questions, template, target, { subject, options });
      if (fault !== undefined) return fault;
    }
  }
  const all = [...questions.values()];
  return all.length === 0 ? "no_checks" : (faultIn(all) ?? all);
}

/** The questions that decide whether an entry is listed. Unlike those of a call they may be none. */
export function listQuestionsOf(
  policy: Policy,
  target: Target,
  subject: ObjectRef,
): readonly CheckRequest[] | ResourceFault {
  const questions = new Map<string, CheckRequest>();
  for (const template of target.rule?.list ?? []) {
    const fault = addQuestions(questions, template, target, {
      subject,
      options: optionsOf(policy),
    });
    if (fault !== undefined) return fault;
  }
  const all = [...questions.values()];
  return faultIn(all) ?? all;
}

function optionsOf({ pathRoot }: Policy): ResourceOptions {
  return pathRoot === undefined ? NO_ROOT : { root: pathRoot };
}

function addQuestions(
  questions: Map<string, CheckRequest>,
  template: CheckTemplate,
  target: Target,
  { subject, options }: { readonly subject: ObjectRef; readonly options: ResourceOptions },
): ResourceFault | undefined {
  const { permission, resource, context: contextTemplate } = template;
  const ids = resolveIds(resource, target.scope, options);
  if (typeof ids === "string") return ids;
  const context = contextTemplate && resolveContext(contextTemplate, target.scope);
  if (contextTemplate !== undefined && context === undefined) return "resource_invalid";
  for (const id of ids) {
    const question = { permission, resource: { type: resource.type, id }, subject };
    // JSON of the context, so that the same question under two conditions stays two questions.
    const key = `${permission}\n${resource.type}:${id}${context === undefined ? "" : `\n${JSON.stringify(context)}`}`;
    questions.set(key, context === undefined ? question : { ...question, context });
    if (questions.size > MAX_CHECKS) return "too_many_checks";
  }
  return undefined;
}

/** One id over its bound, or one that looks like a secret: invalid. All together too large for one event: too many. */
function faultIn(questions: readonly CheckRequest[]): ResourceFault | undefined {
  const over = overBound({ checks: questions });
  if (over !== undefined) return over === "checks" ? "too_many_checks" : "resource_invalid";
  return leakInIds(questions) === undefined ? undefined : "resource_invalid";
}
