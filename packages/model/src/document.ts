// Files that people write (policy, configuration): YAML text to a value, with the place of everything in it, so that each
// problem can say file, line, column, and what to do. Subpath `@countersign/model/document`: it loads a YAML parser.
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseDocument as parseYaml,
  visit,
} from "yaml";
import type { Path, ParsedDocument, Position, Problem } from "./document/problem.ts";

export { formatProblem } from "./document/problem.ts";
export type { ParsedDocument, Path, Position, Problem } from "./document/problem.ts";
export { nearestName, problemsFromSchema } from "./document/schema-problem.ts";

/** Longest document, in bytes of UTF-8. */
export const MAX_DOCUMENT_BYTES = 1_048_576;

/** Problems that are reported of one document; the rest would only repeat them. */
const MAX_PROBLEMS = 100;

/**
 * Parses YAML 1.2 (and so JSON). Refused, each with its place: duplicate keys, anchors and aliases, tags, keys that are
 * not plain text, several documents, documents over 1 MiB. Never throws: `value` is undefined when there are problems.
 * @param file name for messages only
 */
export function parseDocument(text: string, file: string): ParsedDocument {
  if (Buffer.byteLength(text, "utf8") > MAX_DOCUMENT_BYTES) {
    return unreadable(file, `is over ${MAX_DOCUMENT_BYTES} bytes`, "Split it or make it smaller.");
  }
  const lines = new LineCounter();
  try {
    const document = parseYaml(text, {
      version: "1.2",
      schema: "core",
      merge: false,
      uniqueKeys: true,
      strict: true,
      stringKeys: true,
      prettyErrors: false,
      lineCounter: lines,
    });
    return read(document, lines, file);
  } catch {
    // The parser recurses: nesting that it cannot bear ends here.
    return unreadable(file, "is nested too deeply to be read", "Make it flatter.");
  }
}

const START: Position = { line: 1, column: 1 };

function unreadable(file: string, message: string, fix: string): ParsedDocument {
  const problem: Problem = { file, ...START, path: "", message, fix };
  return { file, value: undefined, problems: [problem], at: () => START };
}

function read(document: Document.Parsed, lines: LineCounter, file: string): ParsedDocument {
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return line === 0 ? START : { line, column: col };
  };
  const problems: Problem[] = [];
  const report = (offset: number, message: string, fix?: string): void => {
    const at = position(offset);
    // What the parser says twice of one line is one thing to mend.
    const said = problems.some((one) => one.line === at.line && one.message === message);
    if (said || problems.length >= MAX_PROBLEMS) return;
    problems.push({
      file,
      ...at,
      path: "",
      message,
      ...(fix === undefined ? {} : { fix }),
    });
  };
  for (const error of document.errors) report(error.pos[0], ...explain(error.code, error.message));
  for (const warning of document.warnings) {
    report(warning.pos[0], ...explain(warning.code, warning.message));
  }
  refuseIndirection(document, report);
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  return {
    file,
    // With aliases refused there is none to resolve; the bound holds if one is missed.
    value: problems.length === 0 ? (document.toJS({ maxAliasCount: 0 }) as unknown) : undefined,
    problems,
    at: (path, part = "value") => position(offsetOf(document, path, part)),
  };
}

/** The parser's own words quote the text at times; ours never do. */
function explain(code: string, message: string): [string, string?] {
  switch (code) {
    case "DUPLICATE_KEY":
      return ["the same key occurs twice", "Remove one of them, or rename it."];
    case "MULTIPLE_DOCS":
      return [
        "there is more than one document in the file",
        "Remove the `---` line and what follows.",
      ];
    case "TAB_AS_INDENT":
      return ["a tab is used to indent", "Use spaces."];
    case "BAD_INDENT":
      return ["the indentation does not fit, or a bracket is open", "Align or close it."];
    case "NON_STRING_KEY":
      return ["a key is not plain text", "Put it in quotes."];
    case "TAG_RESOLVE_FAILED":
      return ["tags are not supported", "Remove the `!…`."];
    default:
      return [`is not valid YAML (${code.toLowerCase().replaceAll("_", " ")})`, hint(message)];
  }
}

/** Constant sentences of the parser, up to where they would quote. */
function hint(message: string): string {
  return message.split(/[:"'`\n]/, 1)[0]?.trim() ?? "";
}

type Report = (offset: number, message: string, fix?: string) => void;

/** Anchors, aliases and tags make one text mean another thing elsewhere; here a value stands where it is read. */
function refuseIndirection(document: Document.Parsed, report: Report): void {
  visit(document, {
    Node(_key, node) {
      const offset = node.range?.[0] ?? 0;
      if (isAlias(node)) report(offset, "aliases are not supported", "Write the value out.");
      else if (node.anchor !== undefined) report(offset, "anchors are not supported", "Remove it.");
      else if (node.tag !== undefined && !node.tag.startsWith("tag:yaml.org,2002:")) {
        report(offset, "tags are not supported", "Remove the `!…`.");
      }
    },
    Pair(_key, pair) {
      const key = pair.key;
      if (isScalar(key) && key.value === "__proto__") {
        report(key.range?.[0] ?? 0, "`__proto__` cannot be a key", "Rename it.");
      }
    },
  });
}

/** Where a path leads; the nearest ancestor for one that leads nowhere. */
function offsetOf(document: Document.Parsed, path: Path, part: "key" | "value"): number {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [index, step] of path.entries()) {
    const last = index === path.length - 1;
    if (isMap(node)) {
      const pair: unknown = node.items.find(
        (item) => isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (!isPair(pair)) return offset;
      const keyOffset = isNode(pair.key) ? (pair.key.range?.[0] ?? offset) : offset;
      node = isNode(pair.value) ? pair.value : null;
      // `key:` with nothing after it has no place of its own.
      const empty = node === null || (isScalar(node) && node.value === null);
      offset = (last && part === "key") || empty ? keyOffset : (node?.range?.[0] ?? keyOffset);
    } else if (node !== null && "items" in node) {
      const item: unknown = node.items[Number(step)];
      if (!isNode(item)) return offset;
      node = item;
      offset = node.range?.[0] ?? offset;
    } else return offset;
  }
  return offset;
}
