// Readers of CEF and LEEF by the letter of their specifications, strict: what they do not expect is an error.

/** A line, taken apart. */
export interface ParsedLine {
  readonly header: readonly string[];
  readonly fields: ReadonlyMap<string, string>;
}

/** CEF: seven header fields with `\|` and `\\`; an extension with `\=`, `\\`, `\n`, `\r`. */
export function parseCef(line: string): ParsedLine {
  const header: string[] = [];
  let at = 0;
  while (header.length < 7) {
    let part = "";
    for (; line[at] !== "|"; at += 1) {
      if (at >= line.length) throw new Error("cef: the header ends early");
      if (line[at] === "\\") at += 1;
      part += line[at];
    }
    header.push(part);
    at += 1;
  }
  return { header, fields: cefExtension(line.slice(at)) };
}

function cefExtension(extension: string): Map<string, string> {
  // Every `=` that no backslash escapes ends a key, which begins behind the last space before it.
  const ends: number[] = [];
  for (let at = 0; at < extension.length; at += 1) {
    if (extension[at] === "\\") at += 1;
    else if (extension[at] === "=") ends.push(at);
  }
  const fields = new Map<string, string>();
  ends.forEach((end, index) => {
    const key = extension.slice(extension.lastIndexOf(" ", end) + 1, end);
    if (!/^[A-Za-z][A-Za-z0-9]*$/.test(key)) throw new Error("cef: no key");
    const next = ends[index + 1];
    const stop = next === undefined ? extension.length : extension.lastIndexOf(" ", next);
    if (fields.has(key)) throw new Error(`cef: ${key} stands twice`);
    fields.set(key, unescapeCef(extension.slice(end + 1, stop)));
  });
  return fields;
}

function unescapeCef(value: string): string {
  return value.replaceAll(/\\(.)/gs, (_all, one: string) => {
    if (one === "n") return "\n";
    if (one === "r") return "\r";
    if (one === "\\" || one === "=") return one;
    throw new Error("cef: an escape that is none");
  });
}

/** LEEF 2.0: six header fields, the last the delimiter; keys and values up to it, without escapes. */
export function parseLeef(line: string): ParsedLine {
  const parts = line.split("|");
  const header = parts.slice(0, 6);
  const delimiter = /^x([0-9A-Fa-f]{1,4})$/.exec(header[5] ?? "")?.[1];
  if (delimiter === undefined) throw new Error("leef: no delimiter");
  const fields = new Map<string, string>();
  const separator = String.fromCharCode(Number.parseInt(delimiter, 16));
  for (const field of parts.slice(6).join("|").split(separator)) {
    const [, key, value] = /^([A-Za-z][A-Za-z0-9]*)=([^]+)$/.exec(field) ?? [];
    if (key === undefined || value === undefined) throw new Error("leef: no field");
    if (fields.has(key)) throw new Error(`leef: ${key} stands twice`);
    fields.set(key, value);
  }
  return { header, fields };
}
