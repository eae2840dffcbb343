// LEEF lines read by a parser that others wrote (nsyslog-parser, MIT). It takes a delimiter as the character alone, and cuts a value
// at `|` and at a second `=`, which LEEF allows there: events for it have neither.
import { createRequire } from "node:module";

interface Leef {
  readonly headers: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
}

const { parse } = createRequire(import.meta.url)("nsyslog-parser/leef.js") as {
  readonly parse: (line: string) => Leef;
};

/** Headers and fields as the other parser sees them. */
export function otherLeef(line: string): Leef {
  return parse(line.replace("|x09|", "|\t|"));
}
