import { type Check, deciding, type ObjectRef } from "@countersign/model";
import type { Budget } from "./budget.ts";
import type { ListEntry, McpCall } from "./call.ts";
import type { CheckAnswer, CheckRequest } from "./check/checker.ts";
import { type Evaluation, type Parts, reasonOf } from "./evaluate.ts";
import { listQuestionsOf, subjectOf } from "./policy/questions.ts";
import { type Target, targetOfEntry } from "./policy/target.ts";
import { whoAsks } from "./who.ts";

const MAX_ENTRIES = 10_000;
/** Questions in one request to the authorizer. */
const MAX_BATCH = 256;

/**
 * Which entries of a list may be shown (contract, section 5): those that are mapped and whose own `list:` checks hold. A list
 * is a call like any other, so nobody is shown anything before it is clear who asks; and a list that the authorizer
 * could not decide is an error, not a short list.
 */
export async function evaluateList(
  parts: Parts,
  call: McpCall,
  id: string,
  given: { readonly budget: Budget; readonly offered: readonly ListEntry[] },
): Promise<Evaluation> {
  const { budget, offered } = given;
  if (call.fault !== undefined) return { reason: call.fault };
  if (offered.length > MAX_ENTRIES) return { reason: "too_large" };
  const who = await whoAsks(parts, call, budget);
  if (who.reason !== undefined) return who as Evaluation;
  if (parts.policy.lists === "open")
    return listed(
      who,
      offered.map(() => true),
    );
  const targets = offered.map((entry) => targetOfEntry(parts.policy, entry));
  const subject = subjectOf(parts.policy, who.human);
  const asked = targets.map((target) => questionsFor(parts, target, subject));
  const answers = await answersTo(
    parts,
    asked.flatMap((questions) => questions ?? []),
    { call, id, budget },
  );
  if ("reason" in answers) return { ...who, reason: answers.reason };
  const shown = asked.map(
    (questions) =>
      questions !== undefined &&
      questions.every((question) => answers.allowed.has(keyOf(question))),
  );
  return listed(who, shown);
}

function listed(who: Omit<Evaluation, "reason">, shown: readonly boolean[]): Evaluation {
  const list = { offered: shown.length, shown: shown.filter(Boolean).length };
  return { ...who, reason: "listed", list, shown };
}

/** `undefined`: not shown, whatever the authorizer says. An entry without `list:` checks has nothing to ask. */
function questionsFor(
  parts: Parts,
  target: Target,
  subject: ObjectRef | undefined,
): readonly CheckRequest[] | undefined {
  if (target.rule === undefined || target.ambiguous) return undefined;
  if (target.rule.list.length === 0) return [];
  if (subject === undefined) return undefined;
  const questions = listQuestionsOf(parts.policy, target, subject);
  return typeof questions === "string" ? undefined : questions;
}

interface Asking {
  readonly call: McpCall;
  readonly id: string;
  readonly budget: Budget;
}

type Answers =
  | { readonly allowed: ReadonlySet<string> }
  | { readonly reason: Evaluation["reason"] };

async function answersTo(
  { checker }: Parts,
  questions: readonly CheckRequest[],
  { call, id, budget }: Asking,
): Promise<Answers> {
  const distinct = [...new Map(questions.map((question) => [keyOf(question), question])).values()];
  const allowed = new Set<string>();
  for (let start = 0; start < distinct.length; start += MAX_BATCH) {
    const batch = distinct.slice(start, start + MAX_BATCH);
    const request = {
      id,
      signal: budget.signal,
      ...(call.traceparent === undefined ? {} : { traceparent: call.traceparent }),
      ...(call.context === undefined ? {} : { context: call.context }),
    };
    // oxlint-disable-next-line no-await-in-loop -- one batch after the other: a list must not flood the authorizer
    const answers = await budget.race(checker.check(batch, request));
    if (answers === undefined)
      return { reason: budget.end === "cancelled" ? "cancelled" : "pdp_timeout" };
    if (answers.length !== batch.length) throw new Error("answers");
    const failed = deciding(answers.filter(isError) as unknown as readonly Check[]);
    if (failed !== undefined) return { reason: reasonOf([failed], budget) };
    for (const [index, answer] of answers.entries()) {
      if (answer.verdict === "allow") allowed.add(keyOf(batch[index] as CheckRequest));
    }
  }
  return { allowed };
}

/** Plain denials hide an entry; a missing condition does too, since a list has no arguments to judge by. */
function isError({ verdict }: CheckAnswer): boolean {
  return verdict !== "allow" && verdict !== "deny" && verdict !== "conditional";
}

function keyOf({ permission, resource, context }: CheckRequest): string {
  return JSON.stringify([permission, resource.type, resource.id, context]);
}
