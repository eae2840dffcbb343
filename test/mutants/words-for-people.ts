// Messages and fields of log lines are no behaviour that a test of a journal should hold to the letter: Stryker leaves them alone.
import type { Ignorer } from "@stryker-mutator/api/ignore";

/** Calls whose texts are for people. */
const SAYS = new Set(["CountersignError", "Error", "unavailable", "invalid"]);
const LOG_LEVELS = new Set(["debug", "info", "warn", "error"]);

interface Callee {
  readonly type: string;
  readonly name?: string;
  readonly property?: { readonly name?: string };
  readonly object?: { readonly name?: string; readonly property?: { readonly name?: string } };
}

interface Call {
  readonly type: string;
  readonly callee?: Callee;
}

/** What Stryker gives, a path of Babel's. */
interface Path {
  readonly node: { readonly type: string; readonly value?: string };
  readonly parent?: Call;
}

export const wordsForPeople: Ignorer = {
  shouldIgnore: (path) => (isForPeople(path as Path) ? "words for people" : undefined),
};

function isForPeople({ node, parent }: Path): boolean {
  if (parent?.type !== "NewExpression" && parent?.type !== "CallExpression") return false;
  const { callee } = parent;
  if (node === callee) return false;
  if (isLog(callee)) return true;
  if (!SAYS.has(callee?.name ?? "")) return false;
  return (
    node.type === "TemplateLiteral" || (node.type === "StringLiteral" && !isCode(node.value ?? ""))
  );
}

/** The closed `code` of an error is behaviour. */
function isCode(text: string): boolean {
  return /^[A-Z_]+$/.test(text);
}

function isLog(callee: Callee | undefined): boolean {
  if (!LOG_LEVELS.has(callee?.property?.name ?? "")) return false;
  return callee?.object?.name === "log" || callee?.object?.property?.name === "log";
}
