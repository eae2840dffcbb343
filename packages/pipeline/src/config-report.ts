import { type ParsedDocument, type Problem, problemsFromSchema } from "@countersign/model/document";
import type { ErrorObject } from "ajv/dist/2020.js";

/** Path of a member in the configuration. */
export type ConfigPath = readonly (string | number)[];

/** Collects what is wrong, with its place in the file. */
export interface ConfigReport {
  problem(path: ConfigPath, message: string, fix: string): void;
  /** The same, unless something else is wrong at this very path. */
  consequence(path: ConfigPath, message: string, fix: string): void;
  hasProblems(): boolean;
  /** The same, where the key itself is wrong. */
  keyProblem(path: ConfigPath, message: string, fix: string): void;
  warning(path: ConfigPath, message: string, fix: string): void;
  /** What ajv found in the settings of a component, whose section is at `base`. */
  schema(base: ConfigPath, errors: readonly ErrorObject[]): void;
  /** Everything so far, in the order of the file. */
  done(): { readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] };
}

/** A report on one file. */
export function createReport(document: ParsedDocument): ConfigReport {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const make = (path: ConfigPath, message: string, fix: string): Problem => ({
    file: document.file,
    ...document.at(path),
    path: pathText(path),
    message,
    fix: sentence(fix),
  });
  return {
    problem: (path, message, fix) => void problems.push(make(path, message, fix)),
    consequence: (path, message, fix) => {
      const known = problems.some((problem) => problem.path === pathText(path));
      if (!known) problems.push(make(path, message, fix));
    },
    hasProblems: () => problems.length > 0,
    keyProblem: (path, message, fix) =>
      void problems.push({ ...make(path, message, fix), ...document.at(path, "key") }),
    warning: (path, message, fix) =>
      void warnings.push({ ...make(path, message, fix), ...document.at(path, "key") }),
    schema: (base, errors) => {
      const pointer = base.map((step) => `/${pointerStep(step)}`).join("");
      const placed = errors.map((error) => ({
        ...error,
        instancePath: pointer + error.instancePath,
      }));
      // A variable without a value is one problem, not two.
      const known = new Set(problems.map((problem) => problem.path));
      const found = problemsFromSchema(document, placed);
      problems.push(...found.filter((problem) => !known.has(problem.path)));
    },
    done: () => ({ problems: problems.toSorted(inFile), warnings: warnings.toSorted(inFile) }),
  };
}

function sentence(fix: string): string {
  const end = fix.endsWith("?") ? "" : ".";
  // Names stay as they are written.
  const start = /^[a-z_]+( |$)/.test(fix) ? fix.charAt(0).toUpperCase() : fix.charAt(0);
  return `${start}${fix.slice(1)}${end}`;
}

function pointerStep(step: string | number): string {
  return String(step).replaceAll("~", "~0").replaceAll("/", "~1");
}

function inFile(a: Problem, b: Problem): number {
  return a.line - b.line || a.column - b.column;
}

/** `exporters["file/siem"].mode`, `service.pipelines.traces.receivers[0]`. */
export function pathText(path: ConfigPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (!/^[A-Za-z_][\w-]*$/.test(part)) text += `[${JSON.stringify(part)}]`;
    else text += text === "" ? part : `.${part}`;
  }
  return text;
}
