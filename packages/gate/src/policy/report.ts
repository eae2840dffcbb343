import { CountersignError } from "@countersign/model";
import {
  formatProblem,
  type ParsedDocument,
  type Path,
  type Problem,
  problemsFromSchema,
} from "@countersign/model/document";
import type { ValidatorError } from "@countersign/model/schema/runtime";

/** A policy file that cannot be used. `problems` has all of them, each with its place and what to do. */
export class PolicyError extends CountersignError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super("CONFIG_INVALID", `gate/policy: ${problems.map(formatProblem).join("\n")}`);
    this.name = "PolicyError";
    this.problems = problems;
  }
}

/** Collects everything that is wrong, so that one run tells all. */
export class Report {
  readonly #file: string;
  readonly #document: ParsedDocument;
  readonly #problems: Problem[];
  readonly #paths: string[] = [];

  constructor(file: string, document: ParsedDocument) {
    this.#file = file;
    this.#document = document;
    this.#problems = [...document.problems];
  }

  add(path: Path, message: string, fix?: string): void {
    const { line, column } = this.#document.at(path);
    const problem: Problem = { file: this.#file, line, column, path: pathText(path), message };
    this.#paths.push(pointer(path));
    this.#problems.push(fix === undefined ? problem : { ...problem, fix });
  }

  /** What the schema found in `value`: the document as parsed, with the environment filled in. */
  addSchemaErrors(value: unknown, errors: readonly ValidatorError[]): void {
    this.#problems.push(...problemsFromSchema({ ...this.#document, value }, errors));
    for (const { instancePath, params } of errors) {
      const member = params["missingProperty"] ?? params["additionalProperty"];
      this.#paths.push(
        typeof member === "string"
          ? `${instancePath}/${member.replaceAll("~", "~0").replaceAll("/", "~1")}`
          : instancePath,
      );
    }
  }

  /** True if nothing is wrong at or below `path` so far, so that what is there has the shape of the schema. */
  clean(path: Path): boolean {
    const here = pointer(path);
    return !this.#paths.some((other) => other === here || other.startsWith(`${here}/`));
  }

  throwIfAny(): void {
    if (this.#problems.length === 0) return;
    const sorted = this.#problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
    throw new PolicyError(sorted);
  }
}

function pointer(path: Path): string {
  return path
    .map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`)
    .join("");
}

/** `tools.move_ticket[1].resource`; names that are not plain are quoted. */
function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}
