import type { Path } from "@countersign/model/document";
import type { Report } from "./report.ts";

const REPLACEMENT = /\$\{([^}]*)\}/g;
const INSIDE = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/**
 * A copy of the document with `${env:NAME}` and `${env:NAME:-default}` replaced in every text (never in names of members).
 * An unset variable without a default is a problem: a policy that silently got an empty token would fail much later.
 */
export function replaceEnv(document: unknown, env: NodeJS.ProcessEnv, report: Report): unknown {
  const walk = (value: unknown, path: Path): unknown => {
    if (typeof value === "string") return value.includes("${") ? replaceText(value, path) : value;
    if (Array.isArray(value))
      return value.map((item: unknown, index) => walk(item, [...path, index]));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, walk(member, [...path, name])]),
    );
  };
  const replaceText = (text: string, path: Path): string =>
    text.replaceAll(REPLACEMENT, (_, inside: string) => {
      const [, name, fallback] = INSIDE.exec(inside) ?? [];
      if (name === undefined) {
        report.add(path, "has a ${…} that is none", "write ${env:NAME} or ${env:NAME:-default}");
        return "";
      }
      const value = env[name] ?? fallback;
      if (value !== undefined && value !== "") return value;
      if (fallback !== undefined) return fallback;
      report.add(
        path,
        `needs the environment variable ${name}, which is not set`,
        `set ${name}, or write \${env:${name}:-default}`,
      );
      return "unset";
    });
  return walk(document, []);
}
