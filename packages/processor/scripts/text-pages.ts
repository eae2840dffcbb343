// The pages of the text formats, from the list of their fields.
import { textFields } from "../src/formats/text-fields.ts";

const INTRO = {
  cef: `# Format \`cef\`

\`cef@0+1\`: ArcSight Common Event Format, CEF:0, one event a line, at most 32,768 bytes: set a receiver's longest message to that.

\`CEF:0|Countersign|Countersign|1|<code>|<title>|<severity>|rt=<milliseconds> <fields>\`

- The device's version is the major of our events. Code (\`decision.forbidden\`) and title are constants of ours: nothing that somebody chose stands in the header.
- Severity 1, 2, 3, 4, 5 is 1, 3, 5, 8, 10.
- In a value \`\\\` and \`=\` are escaped by \`\\\`. A line end cannot occur: what cannot be seen is \`\\u{HEX}\`, whose backslash is escaped in its turn.
- \`cs1\` to \`cs6\`, \`cn1\` and \`cn3\` say in their label what they hold, always the same. Keys of our own begin with \`countersign\`, as CEF wants it.
- liblognorm up to 2.0.6 (rsyslog's \`mmnormalize\`) swallows the first letter of the first key: there \`rt\` becomes \`t\`.
`,
  leef: `# Format \`leef\`

\`leef@2.0+1\`: IBM Log Event Extended Format 2.0, one event a line, at most 32,768 bytes: set a receiver's longest message to that.

\`LEEF:2.0|Countersign|Countersign|1|<code>|x09|devTime=<time>⇥devTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX⇥sev=<severity>⇥<fields>\`

- ⇥ is a tab, which the header declares as \`x09\`. rsyslog makes \`#011\` of tabs unless \`parser.escapeControlCharacterTab="off"\`.
- The product's version is the major of our events. The event id (\`decision.forbidden\`) is a constant of ours.
- Severity 1, 2, 3, 4, 5 is 1, 3, 5, 8, 10.
- LEEF has no escape. A tab or a line end cannot occur in a value: what cannot be seen is \`\\u{HEX}\`. A value may hold \`=\` (object ids do): a key ends at the first one.
`,
} as const;

const AFTER = `
*optional*: left out of a line that would be too long, which names them in the last field. *text*: an apostrophe stands before what a spreadsheet would take
for a formula. Fields that hold JSON are compact and have the members of the event; \`checks\` have \`resource\` and \`subject\` as \`type:id\`.
A field that does not apply is not there. An empty value is never written.
`;

/** The text of `docs/reference/formats/<format>.md`. */
export function textPage(format: "cef" | "leef"): string {
  const rows = textFields().map(([name, field]) => {
    const own =
      format === "leef" ? name : `countersign${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    const key = field[format] ?? own;
    const label = format === "cef" && field.label !== undefined ? `, label \`${field.label}\`` : "";
    const marks = [field.text && "text", field.optional && "optional"].filter(Boolean).join(", ");
    return `| \`${key}\`${label} | ${field.holds} | ${marks} |`;
  });
  return `${INTRO[format]}
| Key | Event | |
|---|---|---|
${rows.join("\n")}
${AFTER}`;
}
