/** The texts of JSON objects that stand one after the other; undefined when there is anything else. */
export function jsonTexts(body: Buffer): string[] | undefined {
  const text = body.toString("utf8");
  const texts: string[] = [];
  let depth = 0;
  let start = 0;
  let isString = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (isString) {
      if (char === "\\") at += 1;
      else if (char === '"') isString = false;
      continue;
    }
    if (depth === 0 && char !== "{") return undefined;
    if (char === '"') isString = true;
    else if (char === "{" || char === "[") depth += 1;
    else if (char === "}" || char === "]") depth -= 1;
    if (depth > 0) continue;
    texts.push(text.slice(start, at + 1));
    start = at + 1;
  }
  return depth === 0 && !isString ? texts : undefined;
}
