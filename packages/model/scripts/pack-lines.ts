/** Lines of generated code are statements and braces, nobody reads them, and there are thousands: several go on one. */
const LINE_CHARACTERS = 2_000;

/** The same code in fewer lines. For code that needs no line end: every statement with its semicolon, no line comments. */
export function packLines(code: string): string {
  const packed: string[] = [];
  let line = "";
  for (const next of code.split("\n").map((text) => text.trim())) {
    if (next === "") continue;
    if (line.length + next.length > LINE_CHARACTERS) {
      packed.push(line);
      line = next;
    } else {
      line = line === "" ? next : `${line} ${next}`;
    }
  }
  return `${[...packed, line].join("\n")}\n`;
}
