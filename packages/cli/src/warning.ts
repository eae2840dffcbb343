import { formatProblem, type Problem } from "@countersign/model/document";

/** A finding that stops nothing, said to be one: `file:line:column: warning: path: message. Fix.` */
export function formatWarning(warning: Problem): string {
  const path = warning.path === "" ? "warning" : `warning: ${warning.path}`;
  return formatProblem({ ...warning, path });
}
