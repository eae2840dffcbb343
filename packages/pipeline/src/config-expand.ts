// ${env:X}, ${env:X:-default} and ${file:path} in the strings of a configuration, as in the Collector. `$$` is a dollar sign.
import { readFileSync } from "node:fs";
import type { ConfigPath, ConfigReport } from "./config-report.ts";
import { pathText } from "./config-report.ts";

/** A configuration with its variables filled in. */
export interface Expanded {
  readonly value: unknown;
  /** Paths (as text) of strings that were one variable and nothing else: they may stand for numbers and booleans. */
  readonly whole: ReadonlySet<string>;
  /** Paths of strings that have a variable in them. */
  readonly filled: ReadonlySet<string>;
  /** Those of `whole` that were `${file:…}`, and the file. */
  readonly files: ReadonlyMap<string, string>;
}

const VARIABLE = /\$\$|\$\{([^{}]*)\}/g;
const ENV = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-([^]*))?$/;
const FILE = /^file:(.+)$/;
/** A secret or a certificate; nothing larger belongs into a configuration. */
const MAX_FILE_BYTES = 1_048_576;

interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly report: ConfigReport;
  readonly whole: Set<string>;
  readonly filled: Set<string>;
  readonly files: Map<string, string>;
}

/** Fills in the variables of every string value. Keys stay as they are. */
export function expandVariables(
  value: unknown,
  env: Context["env"],
  report: ConfigReport,
): Expanded {
  const whole = new Set<string>();
  const filled = new Set<string>();
  const files = new Map<string, string>();
  const context = { env, report, whole, filled, files };
  return { value: expand(value, [], context), whole, filled, files };
}

function expand(value: unknown, path: ConfigPath, context: Context): unknown {
  if (typeof value === "string") return expandText(value, path, context);
  if (Array.isArray(value))
    return value.map((item, index) => expand(item, [...path, index], context));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, expand(item, [...path, key], context)]),
  );
}

function expandText(text: string, path: ConfigPath, context: Context): string {
  if (!text.includes("$")) return text;
  if (text.includes("${")) context.filled.add(pathText(path));
  if (/^\$\{[^{}]*\}$/.test(text)) {
    context.whole.add(pathText(path));
    const file = FILE.exec(text.slice(2, -1))?.[1];
    if (file !== undefined) context.files.set(pathText(path), file);
  }
  return text.replaceAll(VARIABLE, (match, inner: string | undefined) =>
    inner === undefined ? (match === "$$" ? "$" : match) : valueOf(inner, path, context),
  );
}

function valueOf(inner: string, path: ConfigPath, { env, report }: Context): string {
  const variable = ENV.exec(inner);
  if (variable !== null) {
    const [, name, fallback] = variable;
    const value = env[name as string];
    if (value !== undefined && value !== "") return value;
    if (fallback !== undefined) return fallback;
    report.problem(
      path,
      `environment variable ${name} is not set`,
      `set it, or give a default: \${env:${name}:-value}`,
    );
    return "";
  }
  const file = FILE.exec(inner)?.[1];
  if (file !== undefined) return contentOf(file, path, report);
  const forms = "${env:NAME}, ${env:NAME:-default} or ${file:/path}; $$ is a dollar sign";
  const short = /^[A-Z_][A-Z0-9_]{0,62}$/.test(inner)
    ? `write \${env:${inner}}; known are `
    : "use ";
  report.problem(path, "unknown variable", `${short}${forms}`);
  return "";
}

function contentOf(file: string, path: ConfigPath, report: ConfigReport): string {
  try {
    const bytes = readFileSync(file);
    if (bytes.length <= MAX_FILE_BYTES) return bytes.toString("utf8").replace(/\r?\n$/, "");
    report.problem(path, "the file is over 1 MiB", "name a file that holds this one value");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "error";
    const fix =
      code === "ENOENT"
        ? "create the file, or correct its path (relative ones start in the working directory)"
        : "make the file readable for this user";
    report.problem(path, `cannot read ${file} (${code})`, fix);
  }
  return "";
}
