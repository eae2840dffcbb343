import type { SubjectToken } from "@countersign/identity";
import type { Agent, Check, Human, Reason } from "@countersign/model";
import type { Budget } from "./budget.ts";
import type { McpCall } from "./call.ts";
import type { CheckAnswer, Checker, CheckRequest } from "./check/checker.ts";
import { classify } from "./methods.ts";
import { questionsOf, subjectOf } from "./policy/questions.ts";
import { type Target, targetsOf } from "./policy/target.ts";
import type { TaskOwners } from "./tasks.ts";
import { isStrong, type Who, whoAsks, type WhoParts } from "./who.ts";

/** The verdict on one call before anything is recorded: the reason, and whoever and whatever was known by then. */
export interface Evaluation {
  readonly reason: Reason;
  readonly human?: Human;
  readonly agent?: Agent;
  /** The verified token behind the human. For the handler, never for the record. */
  readonly subject?: SubjectToken;
  readonly checks?: readonly Check[];
  readonly rule?: string;
  readonly list?: { readonly offered: number; readonly shown: number };
  /** List methods: which entries may be shown. */
  readonly shown?: readonly boolean[];
}

/** What a gate decides with. */
export interface Parts extends WhoParts {
  readonly checker: Checker;
  readonly tasks: TaskOwners;
}

/** Decides a guarded, task or unmapped call, in the order of work of contract section 3. */
export async function evaluateCall(
  parts: Parts,
  call: McpCall,
  id: string,
  budget: Budget,
): Promise<Evaluation> {
  if (call.fault !== undefined) return { reason: call.fault };
  const kind = classify(call.method);
  const targets = kind === "guarded" ? targetsOf(parts.policy, call.method, call.params) : [];
  if (targets === "malformed" || (kind === "task" && isTaskCallMalformed(call)))
    return { reason: "malformed" };
  const who = await whoAsks(parts, call, budget);
  if (who.reason !== undefined) return who as Evaluation;
  if (kind === "task")
    return {
      ...who,
      reason: ownsTask(parts.tasks, call, who.human) ? "permitted" : "task_not_owned",
    };
  if (kind !== "guarded") return { ...who, reason: "unmapped" };
  if (targets === "too_many_checks") return { ...who, reason: targets };
  return evaluateTargets(parts, { call, id, budget, who }, targets);
}

/** A task method names a task, but for `tasks/list`, which asks for everybody's and is nobody's to see. */
function isTaskCallMalformed(call: McpCall): boolean {
  return call.method !== "tasks/list" && taskIdOf(call.params) === undefined;
}

function ownsTask(tasks: TaskOwners, call: McpCall, human: Human | undefined): boolean {
  const taskId = call.method === "tasks/list" ? undefined : taskIdOf(call.params);
  return taskId !== undefined && tasks.owns(taskId, human);
}

function taskIdOf(params: unknown): string | undefined {
  const taskId = (params as { taskId?: unknown } | null | undefined)?.taskId;
  return typeof taskId === "string" && taskId !== "" ? taskId : undefined;
}

interface Asking {
  readonly call: McpCall;
  readonly id: string;
  readonly budget: Budget;
  readonly who: Who;
}

async function evaluateTargets(
  parts: Parts,
  asking: Asking,
  targets: readonly Target[],
): Promise<Evaluation> {
  const { human } = asking.who;
  const { reason: _none, ...known } = asking.who;
  const unmapped = targets.find((target) => target.rule === undefined);
  if (unmapped !== undefined) return { ...known, reason: "unmapped" };
  const rule = targets[0]?.rule?.name;
  const so = rule === undefined ? known : { ...known, rule };
  const weak = targets.find(
    ({ rule: entry }) => entry?.minimum !== undefined && !isStrong(human, entry.minimum),
  );
  if (weak !== undefined)
    return { ...so, rule: weak.rule?.name ?? "", reason: "identity_too_weak" };
  const principal = subjectOf(parts.policy, human);
  if (principal === undefined)
    return { ...so, reason: human === undefined ? "identity_missing" : "resource_invalid" };
  const questions = questionsOf(parts.policy, targets, principal);
  if (typeof questions === "string") return { ...so, reason: questions };
  const checks = await ask(parts.checker, questions, asking);
  return { ...so, checks, reason: reasonOf(checks, asking.budget) };
}

/** Puts the questions, all in one request. What is not answered when the budget ends was not evaluated or timed out. */
async function ask(
  checker: Checker,
  questions: readonly CheckRequest[],
  asking: Asking,
): Promise<readonly Check[]> {
  const { call, id, budget } = asking;
  const answers = await budget.race(
    checker.check(questions, {
      id,
      // Asked for only by an engine that has to wait.
      get signal() {
        return budget.signal;
      },
      ...(call.traceparent === undefined ? {} : { traceparent: call.traceparent }),
      ...(call.context === undefined ? {} : { context: call.context }),
    }),
  );
  if (answers !== undefined && answers.length !== questions.length) throw new Error("answers");
  const reason = budget.end === "cancelled" ? "not_evaluated" : "timeout";
  const unanswered: CheckAnswer = {
    verdict: "error",
    reason,
    engine: checker.engine,
    durationUs: 0,
  };
  return questions.map((question, index) => checkOf(question, answers?.[index] ?? unanswered));
}

function checkOf(
  { permission, resource, subject, context }: CheckRequest,
  answer: CheckAnswer,
): Check {
  const check = { permission, resource, subject, ...answer };
  return context === undefined ? check : { ...check, contextKeys: Object.keys(context).toSorted() };
}

/** The first check that is not a plain `allow` decides. Anything that is none of the four verdicts is an error. */
export function reasonOf(checks: readonly Check[], budget: Budget): Reason {
  if (budget.end === "cancelled") return "cancelled";
  const first = checks.find((check) => check.verdict !== "allow");
  if (first === undefined) return checks.length > 0 ? "permitted" : "no_checks";
  if (first.verdict === "deny") return "forbidden";
  if (first.verdict === "conditional") return "conditional";
  if (first.reason === "timeout") return "pdp_timeout";
  return first.reason === "unavailable" ? "pdp_unavailable" : "pdp_error";
}
