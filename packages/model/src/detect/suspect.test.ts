import * as fc from "fast-check";
import { expect, test } from "vitest";
import { redactText } from "../detect.ts";
import { suspectText } from "./suspect.ts";

/** As it stands in a message: with bytes of others before and after it. */
function suspect(text: string, around = "A"): boolean {
  const before = Buffer.from(around);
  const bytes = Buffer.from(text);
  return suspectText(
    Buffer.concat([before, bytes, before]),
    before.length,
    before.length + bytes.length,
  );
}

const alnum = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0".repeat(2);

const HITS = [
  "4111111111111111",
  "4111 1111-1111.1111",
  "４１１１１１１１１１１１１１１１",
  "4111\u200b1111\u200b1111\u200b1111",
  "4111\\u{200B}1111\\u{200B}1111\\u{200B}1111",
  "4222222222222",
  "6304000000000000000",
  "DE89370400440532013000",
  "gb29 nwbk 6016-1331 9268 19",
  "NO9386011117947",
  "mt84malt011000012345mtlcast001s",
  "123-45-6789",
  "123 45 6789",
  "a@b.cd",
  "eyJhbGciOiJIUzI1NiJ9.e",
  "ewogImFsZyI6ICJub25lIn0.x",
  "-----BEGIN A-----",
  "------BEGIN PRIVATE KEY-----",
  "AKIAIOSFODNN7EXAMPLE",
  `ghp_${alnum.slice(0, 36)}`,
  `github_pat_${alnum.slice(0, 30)}`,
  `xoxb-1${alnum.slice(0, 20)}`,
  `sk-${alnum.slice(0, 24)}`,
  `sk_live_${alnum.slice(0, 24)}`,
  `r8_${alnum.slice(0, 36)}`,
  `AGE-SECRET-KEY-1${"QPZRY9X8".repeat(8)}`,
  `SharedAccessKey=${alnum.slice(0, 44)}`,
  "SK0123456789abcdef0123456789abcdef",
];

const piece = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...HITS) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 6 }) },
  { weight: 3, arbitrary: fc.string({ unit: "binary-ascii", maxLength: 6 }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(" ", "-", ".", "_", "=", "/", "x", "7", "  ", "ey", "DE", "sk-"),
  },
  { weight: 2, arbitrary: fc.stringMatching(/^[0-9]{1,6}[-. ]?$/) },
  { weight: 1, arbitrary: fc.constantFrom(...HITS).map((hit) => hit.slice(0, -2)) },
);

test("what is not suspect holds nothing for a detector, whatever it is made of", () => {
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 5 }),
      fc.constantFrom("A", "-", "9", "e", "é"),
      (pieces, around) => {
        const text = pieces.join("");
        if (!text.isWellFormed() || suspect(text, around)) return;
        expect(redactText(text, "mask")).toEqual({ text, detectors: [] });
      },
    ),
    { numRuns: 20_000 },
  );
});

test.each(HITS)("%s is suspect wherever it stands", (hit) => {
  for (const text of [hit, `x ${hit}`, `${hit} x`, `q=${hit}&r`, `(${hit})`]) {
    expect(redactText(text, "mask").detectors).not.toEqual([]);
    for (const around of ["A", "-", "9", "_"]) expect(suspect(text, around)).toBe(true);
  }
});

test.each([
  "tools/call read_ticket",
  "10.213.4.255",
  "page=41&sort=desc&trace=53995c3f42cd8ad8",
  "claude-code/2.1.0 (cli; linux x64)",
  "53995c3f-42cd-4ad8-af76-651916cd43dd",
  "ticket://acme/T-48213/attachments/3",
  "upstream timed out after 12 s",
  "2026-11-22T09:00:00.000Z",
  "sk-learn pipelines search secretly",
  "",
])("is common, and asks no detector: %s", (text) => {
  expect(suspect(text)).toBe(false);
});

test("hostile texts are looked at a bounded number of times", () => {
  const units = ["ey-", "ey_", "DE8 ", "DE89 ", "sk-", "1-", "123-45-", "--", "-----BEGIN", "ey"];
  for (const unit of units) {
    const looks = (length: number): number => countLooks(unit.repeat(length / unit.length));
    expect(looks(8000) / looks(4000)).toBeLessThan(2.5);
  }
});

function countLooks(text: string): number {
  let looks = 0;
  const bytes = new Proxy(Buffer.from(text), {
    get: (target, name) => {
      looks += 1;
      return Reflect.get(target, name) as unknown;
    },
  });
  suspectText(bytes, 0, text.length);
  return looks;
}
