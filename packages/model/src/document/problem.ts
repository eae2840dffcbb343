/** A place in a text; both from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Steps from the root of a document: member names and list indexes. */
export type Path = readonly (string | number)[];

/** What is wrong in a file, where, and what to do about it. Never a value: a configuration holds secrets. */
export interface Problem extends Position {
  readonly file: string;
  /** `tools.read_ticket.permission`, `issuers[0].audience`; empty for the whole document. */
  readonly path: string;
  readonly message: string;
  /** A sentence that says what to do. */
  readonly fix?: string;
}

/** A document that was read, and the places in it. */
export interface ParsedDocument {
  readonly file: string;
  /** undefined when there are problems. */
  readonly value: unknown;
  /** In the order of the text. */
  readonly problems: readonly Problem[];
  /** Where the value at a path (or its key) is; its nearest ancestor if it is not there. */
  at(path: Path, part?: "key" | "value"): Position;
}

/** `file:line:column: path: message. Fix.` */
export function formatProblem(problem: Problem): string {
  const { file, line, column, path, message, fix } = problem;
  const what = path === "" ? message : `${path}: ${message}`;
  return `${file}:${line}:${column}: ${what}.${fix === undefined || fix === "" ? "" : ` ${fix}`}`;
}

/** A path as people read it. */
export function pathText(path: Path): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}
