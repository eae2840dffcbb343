// Secrets of every kind that a detector knows, none of them anybody's.
import type { Random } from "./random.ts";

const DIGITS = "0123456789";
const LOWER = "abcdefghijklmnopqrstuvwxyz";
const HEX = "0123456789abcdef";
const UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const ALNUM: string = UPPER + LOWER + DIGITS;

/** Kinds of secrets. */
export const KINDS = ["card", "iban", "ssn", "email", "jwt", "pem", "api_key"] as const;
export type Kind = (typeof KINDS)[number];

/** One secret of a kind. */
export function secretOf(kind: Kind, random: Random): string {
  return MAKERS[kind](random);
}

const MAKERS: Readonly<Record<Kind, (random: Random) => string>> = {
  card: cardNumber,
  iban: ibanNumber,
  ssn: (random) => {
    const gap = random.pick(["-", " "]);
    const area = String(1 + random.below(665)).padStart(3, "0");
    const group = String(1 + random.below(99)).padStart(2, "0");
    return [area, group, String(1 + random.below(9999)).padStart(4, "0")].join(gap);
  },
  email: (random) => {
    const local = random.text(LOWER, 6) + random.pick(["", ".", "+", "_"]) + random.text(ALNUM, 5);
    const host = random.pick(["", "mail.", "bücher-"]) + random.text(LOWER, 8);
    return `${local}@${host}.${random.pick(["com", "example", "co.uk", "xn--p1ai"])}`;
  },
  jwt: (random) => {
    const header = { alg: random.pick(["HS256", "RS256", "ES256"]), typ: "JWT" };
    const claims = { sub: random.text(ALNUM, 12), iat: random.below(2 ** 31) };
    const parts = [header, claims].map((part) =>
      Buffer.from(JSON.stringify(part)).toString("base64url"),
    );
    return [...parts, random.text(ALNUM, 43)].join(".");
  },
  pem: (random) => {
    const label = random.pick(["RSA PRIVATE KEY", "PRIVATE KEY", "CERTIFICATE", "EC PRIVATE KEY"]);
    const lines = Array.from({ length: 3 }, () => random.text(ALNUM, 64));
    return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`].join("\n");
  },
  api_key: (random) => {
    const [prefix, alphabet, length] = random.pick(API_KEYS);
    // One digit at least: some forms want it.
    return `${prefix}${random.text(alphabet, length - 1)}7`;
  },
};

function luhnDigit(digits: string): string {
  let sum = 0;
  for (let index = 0; index < digits.length; index += 1) {
    const value = Number(digits.charAt(digits.length - 1 - index)) * (index % 2 === 0 ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
  }
  return String((10 - (sum % 10)) % 10);
}

function cardNumber(random: Random): string {
  const [prefix, length] = random.pick([
    ["4", 16],
    ["4", 13],
    ["51", 16],
    ["2221", 16],
    ["37", 15],
    ["3056", 14],
    ["6011", 16],
    ["3528", 16],
    ["62", 19],
    ["6304", 19],
  ] as const);
  const digits = prefix + random.text(DIGITS, length - prefix.length - 1);
  const card = digits + luhnDigit(digits);
  const gap = random.pick(["", "", " ", "-", "."]);
  return gap === "" ? card : (card.match(/.{1,4}/g) ?? []).join(gap);
}

function ibanNumber(random: Random): string {
  const [country, length] = random.pick([
    ["DE", 22],
    ["NO", 15],
    ["GB", 22],
    ["FR", 27],
    ["MT", 31],
    ["SC", 31],
  ] as const);
  const account = random.text(country === "GB" ? UPPER + DIGITS : DIGITS, length - 4);
  let rest = 0;
  for (const character of `${account}${country}00`) {
    const value = Number.parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  const iban = `${country}${String(98 - rest).padStart(2, "0")}${account}`;
  return random.chance(0.5) ? iban : (iban.match(/.{1,4}/g) ?? []).join(random.pick([" ", "-"]));
}

const WORD = `${ALNUM}_-`;
const forms = (
  prefixes: string,
  alphabet: string,
  length: number,
): readonly (readonly [string, string, number])[] =>
  prefixes.split(" ").map((prefix) => [prefix, alphabet, length] as const);

/** Prefix, alphabet and length of what the providers give out. */
const API_KEYS: readonly (readonly [string, string, number])[] = [
  ...forms("AKIA ASIA ABIA ACCA", UPPER + DIGITS, 16),
  ...forms("ghp_ gho_ ghu_ ghs_ ghr_ npm_", ALNUM, 36),
  ...forms("github_pat_", ALNUM, 60),
  ...forms("glpat- gldt- glrt- glptt- glcbt- glsoat- glimt-", ALNUM, 20),
  ...forms("pypi-AgE", WORD, 60),
  ...forms("dckr_pat_ dckr_oat_", ALNUM, 27),
  ...forms("xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xoxo- xoxc- xoxd- xapp-", ALNUM, 24),
  ...forms("sk_live_ sk_test_ rk_live_ rk_test_ whsec_", ALNUM, 24),
  ...forms("sq0atp- sq0csp- EAAA", ALNUM, 43),
  ...forms("shpat_ shpca_ shppa_ shpss_", HEX, 32),
  ...forms("SK AC key-", HEX, 32),
  ...forms("SG.", ALNUM, 22),
  ...forms("AIza", ALNUM, 35),
  ...forms("ya29. GOCSPX-", ALNUM, 28),
  ...forms("AccountKey= SharedAccessKey=", ALNUM, 44),
  ...forms("dop_v1_ doo_v1_ dor_v1_", HEX, 64),
  ...forms("sk-ant- sk-proj- sk-svcacct- sk-admin- sk-or- sk-", ALNUM, 40),
  ...forms("hf_", ALNUM, 34),
  ...forms("gsk_ r8_ xai- pplx-", ALNUM, 48),
  ...forms("glsa_ glc_", ALNUM, 40),
  ...forms("hvs. hvb. dp.pt. dp.st.", ALNUM, 40),
  ...forms("dapi", HEX, 32),
  ...forms("lin_api_ ntn_ secret_ figd_ PMAK- NRAK- pat-na1- rdme_", ALNUM, 40),
  ...forms("AGE-SECRET-KEY-1", UPPER + DIGITS, 58),
];
