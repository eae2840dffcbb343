/** YAML of plain data, in block style; short lists in one line. A text that could be read as another thing is quoted. */
export function yamlLines(value: object, indent = ""): readonly string[] {
  return Object.entries(value).flatMap(([key, item]: [string, unknown]) => {
    const isMap = typeof item === "object" && item !== null && !Array.isArray(item);
    if (!isMap || Object.keys(item).length === 0) return [`${indent}${key}: ${inLine(item)}`];
    return [`${indent}${key}:`, ...yamlLines(item, `${indent}  `)];
  });
}

/** Letters first, and nothing that YAML gives a meaning to. */
const PLAIN = /^(?!(true|false|null|yes|no|on|off|~)$)[A-Za-z./][\w./@%+-]*(:[\w./@%+-]+)*$/i;

/** `15s`, `4MiB`, `127.0.0.1:4318`. */
const MEASURE = /^(\d+(ms|s|m|h|B|KiB|MiB|GiB)|\d+\.\d+\.\d+\.\d+:\d+)$/;

function inLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(inLine).join(", ")}]`;
  if (typeof value === "string" && (PLAIN.test(value) || MEASURE.test(value))) return value;
  return JSON.stringify(value);
}
