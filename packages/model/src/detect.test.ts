import * as fc from "fast-check";
import { expect, test } from "vitest";
import { detect, detectInId, findAll, MAX_SCANNED_CHARACTERS, redactText } from "./detect.ts";
import { findCard } from "./detect/card.ts";
import { findIban } from "./detect/iban.ts";
import { findEmail, findSsn } from "./detect/person.ts";
import type { Detector, Finder, Match, Scan } from "./detect/scan.ts";
import { findApiKey, findJwt, findPem } from "./detect/secret.ts";
import { neutralise } from "./neutralise.ts";

const JWT =
  "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";
const alnum = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0";

const SAMPLES: readonly (readonly [string, Detector])[] = [
  ["4111111111111111", "card"],
  ["4111 1111 1111 1111", "card"],
  ["4111-1111-1111-1111", "card"],
  ["4111.1111.1111.1111", "card"],
  ["3782 822463 10005", "card"],
  ["6304000000000000000", "card"],
  ["4222222222222", "card"],
  ["order 12 4111 1111 1111 1111", "card"],
  ["４１１１１１１１１１１１１１１１", "card"],
  ["4111\u200b1111\u200b1111\u200b1111", "card"],
  ["12\u200b4111\u200b1111\u200b1111\u200b1111", "card"],
  ["DE89370400440532013000", "iban"],
  ["DE89 3704 0044 0532 0130 00", "iban"],
  ["gb29 nwbk 6016 1331 9268 19", "iban"],
  ["NO9386011117947", "iban"],
  ["MT84MALT011000012345MTLCAST001S", "iban"],
  ["123-45-6789", "ssn"],
  ["ssn 078 05 1120.", "ssn"],
  ["alice@example.com", "email"],
  ["<a.b+c@mail.example.co.uk>", "email"],
  ["jörg@bücher.example", "email"],
  [JWT, "jwt"],
  [`Bearer ${JWT.slice(0, 60)}`, "jwt"],
  ["-----BEGIN RSA PRIVATE KEY-----\nMIIE", "pem"],
  ["-----BEGIN PRIVATE KEY-----MIIE-----END PRIVATE KEY-----", "pem"],
  [["AKIA", "IOSFODNN7EXAMPLE"].join(""), "api_key"],
  [`ghp_${alnum.slice(0, 36)}`, "api_key"],
  [`gho_${alnum.slice(0, 36)}`, "api_key"],
  [`github_pat_${alnum}`, "api_key"],
  [["xoxb", "2345678901", "abcdefABCDEF"].join("-"), "api_key"],
  [["sk", "live", alnum.slice(0, 24)].join("_"), "api_key"],
  [`AIza${alnum.slice(0, 35)}`, "api_key"],
  [`sk-${alnum}`, "api_key"],
  [`sk-proj-${alnum}`, "api_key"],
  [`sk-ant-api03-${alnum}`, "api_key"],
  [`npm_${alnum.slice(0, 36)}`, "api_key"],
  [`glpat-${alnum.slice(0, 20)}`, "api_key"],
  [`key: hf_${alnum.slice(0, 34)}, thanks`, "api_key"],
  // The first digit comes late.
  [["sk", "live", `${"abcdEFGH".repeat(2)}klmnop7q`].join("_"), "api_key"],
  [["xoxb", "abcdefghIJKLMNOPqrst4"].join("-"), "api_key"],
];

test.each(SAMPLES)("%s", (text, detector) => {
  expect(detect(text)).toBe(detector);
  expect(detect(`x ${text} y`)).toBe(detector);
  // As intake sees it: neutralised.
  expect(detect(neutralise(text))).toBe(detector);
});

test.each([
  "read_ticket",
  "support-agent",
  "1.4.0",
  "2026-11-22T09:00:00.000Z",
  "4111111111111112",
  "0000000000000000",
  "41111111111111111111111",
  "DE89370400440532013001",
  "DE8937040044053201300",
  "DE89370400440532013000X",
  "41111.1111111.1111",
  "000-45-6789",
  "123-00-6789",
  "912-45-6789",
  "1123-45-6789",
  "@modelcontextprotocol/server",
  "left-pad@1.3.0",
  "user@localhost",
  "eyJub3QiOiJhIGp3dCJ9.eyJhIjoxfQ.x",
  "eyes.only",
  "sk-learn-pipeline-runner-for-models",
  "npm_config_registry",
  "task-AKIAIOSFODNN7EXAMPLEISLONGER",
  "-----BEGIN",
  "20260101.20260102.20260103",
  "53995c3f-42cd-8ad8-0af7-651916cd43dd",
])("is nothing to hide: %s", (text) => {
  expect(detect(text)).toBeUndefined();
});

function luhn(digits: string): string {
  const sum = `${digits}0`
    .split("")
    .toReversed()
    .reduce((total, digit, index) => {
      const value = Number(digit) * (index % 2 === 0 ? 1 : 2);
      return total + (value > 9 ? value - 9 : value);
    }, 0);
  return digits + String((10 - (sum % 10)) % 10);
}

const digits = (length: number): fc.Arbitrary<string> =>
  fc
    .array(fc.integer({ min: 0, max: 9 }), { minLength: length, maxLength: length })
    .map((values) => values.join(""));

test("every number of 13 to 19 digits that passes Luhn is found, grouped anyhow, and one off is not", () => {
  const cards = fc
    .integer({ min: 12, max: 18 })
    .chain(digits)
    .map((body) => luhn(`${(Number(body.charAt(0)) % 9) + 1}${body.slice(1)}`));
  fc.assert(
    fc.property(cards, fc.constantFrom(" ", "-"), (card, gap) => {
      expect(detect(card)).toBe("card");
      expect(detect((card.match(/.{1,4}/g) as string[]).join(gap))).toBe("card");
      const last = (Number(card.at(-1)) + 1) % 10;
      expect(detect(card.slice(0, -1) + String(last))).toBeUndefined();
    }),
  );
});

/** The rule as a sentence: the first digits, in groups or not, of which some groups next to each other are a card. */
function cardByRule(text: string): Omit<Match, "detector"> | undefined {
  for (const run of text.matchAll(/[0-9]+(?:[ .-][0-9]+)*/g)) {
    const groups = [...run[0].matchAll(/[0-9]+/g)];
    for (const [first, { index }] of groups.entries()) {
      for (let count = 1; first + count <= groups.length; count += 1) {
        const own = groups.slice(first, first + count).map(([digit]) => digit);
        const number = own.join("");
        const end = index + run[0].slice(index).split(/[ .-]/).slice(0, count).join(" ").length;
        const dots = run[0].slice(index, end).includes(".");
        if (!/^(?!0+$)[0-9]{13,19}$/.test(number) || luhn(number.slice(0, -1)) !== number) continue;
        if (!dots || own[0]?.length === 4)
          return { start: run.index + index, end: run.index + end };
      }
    }
  }
  return undefined;
}

test("a card is found where the rule says, and nowhere else, whatever parts the digits", () => {
  const part = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 20 }).chain(digits) },
    { weight: 4, arbitrary: fc.constantFrom(" ", "-", ".") },
    fc.integer({ min: 12, max: 18 }).chain(digits).map(luhn),
    fc.constantFrom("4111", "1111", "0000", "  ", "x", "\u0664", "\u200b", "\uff11", "\u2010"),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 9 }), (parts) => {
      const text = parts.join("");
      const hit = findCard({ text, strict: false, work: 0 }, 0);
      const { detector: _, ...place } = hit ?? { detector: "card" };
      expect(hit && place).toEqual(cardByRule(text));
    }),
    { numRuns: process.env["COUNTERSIGN_LONG"] === "1" ? 1_000_000 : 3000 },
  );
});

test("every address is found wherever it stands", () => {
  const letters = fc.stringMatching(/^[a-z]{2,8}$/);
  fc.assert(
    fc.property(
      letters,
      letters,
      letters,
      fc.constantFrom("", " ", "(", "x:"),
      (user, host, top, before) => {
        const address = `${user}@${host}.${top}`;
        expect(detect(`${before}${address} rest`)).toBe("email");
        expect(redactText(`${before}${address} rest`, "mask").text).toBe(
          before === "x:" ? "x:[email] rest" : `${before}[email] rest`,
        );
      },
    ),
  );
});

test("what is masked holds nothing any more, whatever stood around it", () => {
  const piece = fc.oneof(
    fc.constantFrom(...SAMPLES.map(([text]) => text)),
    fc.string({ unit: "binary", maxLength: 10 }),
    fc.constantFrom(" ", "\n", "1", "a", ".", "@", "-"),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const text = pieces.join(" ");
      const { text: masked, detectors } = redactText(text, "mask");
      expect(detect(masked as string)).toBeUndefined();
      expect(detectors.length > 0).toBe(detect(text) !== undefined);
      expect(redactText(text, "drop").text).toBe(detectors.length > 0 ? undefined : text);
    }),
    { numRuns: 300 },
  );
});

test("redacting replaces the hits in their places, and a hidden hit takes the whole text", () => {
  expect(redactText("to alice@example.com, 4111 1111 1111 1111!", "mask")).toEqual({
    text: "to [email], [card]!",
    detectors: ["email", "card"],
  });
  expect(
    redactText("to alice@example.com", (detector, match) => `<${detector} ${match.length}>`),
  ).toEqual({ text: "to <email 17>", detectors: ["email"] });
  expect(redactText("pay 4111\u200b1111\u200b1111\u200b1111 now", "mask").text).toBe("[card]");
  expect(findAll("a@b.example c@d.example")).toHaveLength(2);
  // An IBAN whose last digits begin a card number: both go, under the name of the first.
  const overlap = `DE89 3704 0044 0532 0130 00 ${luhn("0130001234567").slice(6)} x`;
  expect(redactText(overlap, "mask").text).toBe("[iban] x");
});

test("ids: an address is legitimate, a number counts by brand, keys count", () => {
  expect(detectInId("alice@example.com")).toBeUndefined();
  expect(detectInId("4111111111111111")).toBe("card");
  expect(detectInId(luhn("123456789012345678"))).toBeUndefined();
  expect(detect(luhn("123456789012345678"))).toBe("card");
  expect(detectInId("DE89370400440532013000")).toBe("iban");
  expect(detectInId("de89370400440532013000")).toBeUndefined();
  expect(detectInId(`sk-ant-${alnum}`)).toBe("api_key");
});

test("over what is scanned nobody can tell, so it counts as a hit", () => {
  expect(detect("a".repeat(MAX_SCANNED_CHARACTERS))).toBeUndefined();
  expect(detect("a".repeat(MAX_SCANNED_CHARACTERS + 1))).toBe("too_long");
  expect(redactText("a".repeat(MAX_SCANNED_CHARACTERS + 1), "mask").text).toBe("[too_long]");
});

const FINDERS: Readonly<Record<string, Finder>> = {
  findApiKey,
  findCard,
  findEmail,
  findIban,
  findJwt,
  findPem,
  findSsn,
};

const UNITS = [
  "1",
  "1 ",
  "12-",
  "1234 ",
  "1.2.",
  "a",
  "a@",
  "@",
  "a@a.",
  "a@a-",
  "DE89",
  "DE89 ",
  "N0 ",
  "ey",
  "eyJ.",
  "eyJhbGciOiJIUzI1NiJ9.",
  "e",
  "sk-",
  "sk-ant-",
  "ghp_",
  "xoxb-1",
  "AKIA",
  "SG.",
  "-----BEGIN ",
  "-----BEGIN A-----",
  "-----",
  "123-45-",
  "000-45-6789",
  "\\u{200B}",
  "é",
];

/** Looks at a character per character of text. Twice the text must not cost more than about twice the work. */
const MAX_LOOKS = 150;

test.each(Object.keys(FINDERS))(
  "%s: the work on 20 kB grows with the text and not faster",
  (name) => {
    const find = FINDERS[name] as Finder;
    for (const unit of UNITS) {
      const text = unit.repeat(Math.ceil(20_000 / unit.length));
      const scan: Scan = { text, strict: true, work: 0 };
      let from = 0;
      // All hits, as findAll asks for them.
      for (let hit = find(scan, from); hit !== undefined; hit = find(scan, from)) from = hit.end;
      expect(scan.work / text.length, `${name} on ${unit}`).toBeLessThan(MAX_LOOKS);
    }
  },
);
