import {
  codeAt,
  isAlphanumeric,
  isBase64Url,
  isWordStart,
  type Match,
  runEnd,
  type Scan,
} from "./scan.ts";

const MAX_JWT_HEADER = 2_048;
const MAX_JWT_PART = 16_384;

/** JSON web tokens (JWS, JWE): a part before a dot that decodes to a JSON object with `alg`. */
export function findJwt(scan: Scan, from: number): Match | undefined {
  for (
    let start = scan.text.indexOf("e", from);
    start >= 0;
    start = scan.text.indexOf("e", start + 1)
  ) {
    // `{"`, `{ ` and `{\n` in base64url: the second letter is `y` or `w`.
    const second = codeAt(scan, start + 1);
    if (second !== 0x79 && second !== 0x77) continue;
    if (start > 0 && isBase64Url(codeAt(scan, start - 1))) continue;
    const end = runEnd(scan, start, isBase64Url, MAX_JWT_HEADER);
    if (codeAt(scan, end) !== 0x2e || !isBase64Url(codeAt(scan, end + 1))) continue;
    if (!isHeader(scan.text.slice(start, end))) continue;
    return { detector: "jwt", start, end: tokenEnd(scan, end) };
  }
  return undefined;
}

function isHeader(part: string): boolean {
  try {
    const header: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof header === "object" && header !== null && "alg" in header;
  } catch {
    return false;
  }
}

/** A token has up to five parts (JWE). */
function tokenEnd(scan: Scan, firstDot: number): number {
  let end = firstDot;
  for (let part = 0; part < 4 && scan.text.charCodeAt(end) === 0x2e; part += 1) {
    end = runEnd(scan, end + 1, isBase64Url, MAX_JWT_PART);
  }
  return end;
}

export const PEM_BEGIN = "-----BEGIN ";
const MAX_PEM_LABEL = 64;

/** PEM blocks (RFC 7468), from the first line on: the end may be cut off. */
export function findPem(scan: Scan, from: number): Match | undefined {
  for (
    let start = scan.text.indexOf(PEM_BEGIN, from);
    start >= 0;
    start = scan.text.indexOf(PEM_BEGIN, start + 1)
  ) {
    const label = start + PEM_BEGIN.length;
    const end = runEnd(scan, label, isLabel, MAX_PEM_LABEL);
    if (end === label || !scan.text.startsWith("-----", end)) continue;
    const close = scan.text.indexOf("-----END ", end);
    const last = close < 0 ? -1 : scan.text.indexOf("-----", close + "-----END ".length);
    return { detector: "pem", start, end: last < 0 ? scan.text.length : last + "-----".length };
  }
  return undefined;
}

function isLabel(code: number): boolean {
  return (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39) || code === 0x20;
}

/** One kind of key: what it begins with, and what has to follow. */
export interface KeyForm {
  readonly prefix: string;
  readonly accepts: (code: number) => boolean;
  readonly min: number;
  /** The run must be `min` long, not longer: for prefixes that occur in words. */
  readonly exact?: true;
  /** The run must have a digit: `sk-…` begins package names too. */
  readonly digit?: true;
}

const upperOrDigit = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a);
const hex = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66);
const base64 = (code: number): boolean => isBase64Url(code) || code === 0x2b || code === 0x2f;

function forms(prefixes: string, form: Omit<KeyForm, "prefix">): readonly KeyForm[] {
  return prefixes.split(" ").map((prefix) => ({ prefix, ...form }));
}

export const KEY_FORMS: readonly KeyForm[] = [
  // AWS
  ...forms("AKIA ASIA ABIA ACCA", { accepts: upperOrDigit, min: 16, exact: true }),
  // GitHub, GitLab, npm, PyPI, Docker Hub
  ...forms("ghp_ gho_ ghu_ ghs_ ghr_", { accepts: isAlphanumeric, min: 36 }),
  ...forms("github_pat_", { accepts: isBase64Url, min: 22, digit: true }),
  ...forms("glpat- gldt- glrt- glptt- glcbt- glsoat- glimt-", {
    accepts: isBase64Url,
    min: 20,
    digit: true,
  }),
  ...forms("npm_", { accepts: isAlphanumeric, min: 36 }),
  ...forms("pypi-AgE", { accepts: isBase64Url, min: 40 }),
  ...forms("dckr_pat_ dckr_oat_", { accepts: isBase64Url, min: 27, digit: true }),
  // Slack, Stripe, Square, Shopify, Twilio, SendGrid, Mailgun
  ...forms("xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xoxo- xoxc- xoxd- xapp-", {
    accepts: isBase64Url,
    min: 10,
    digit: true,
  }),
  ...forms("sk_live_ sk_test_ rk_live_ rk_test_ whsec_", {
    accepts: isAlphanumeric,
    min: 16,
    digit: true,
  }),
  ...forms("sq0atp- sq0csp- EAAA", { accepts: isBase64Url, min: 22, digit: true }),
  ...forms("shpat_ shpca_ shppa_ shpss_", { accepts: isAlphanumeric, min: 32 }),
  ...forms("SK AC", { accepts: hex, min: 32, exact: true }),
  ...forms("SG.", { accepts: isBase64Url, min: 22, exact: true }),
  ...forms("key-", { accepts: hex, min: 32, exact: true }),
  // Google, Azure, DigitalOcean, Cloudflare-like platforms
  ...forms("AIza", { accepts: isBase64Url, min: 35 }),
  ...forms("ya29. GOCSPX-", { accepts: isBase64Url, min: 20, digit: true }),
  ...forms("AccountKey= SharedAccessKey=", { accepts: base64, min: 40 }),
  ...forms("dop_v1_ doo_v1_ dor_v1_", { accepts: hex, min: 64 }),
  // Models
  ...forms("sk-ant- sk-proj- sk-svcacct- sk-admin- sk-or-", {
    accepts: isBase64Url,
    min: 20,
    digit: true,
  }),
  ...forms("sk-", { accepts: isAlphanumeric, min: 20, digit: true }),
  ...forms("hf_", { accepts: isAlphanumeric, min: 30 }),
  ...forms("gsk_ r8_ xai- pplx-", { accepts: isAlphanumeric, min: 32, digit: true }),
  // Others
  ...forms("glsa_ glc_", { accepts: isBase64Url, min: 32, digit: true }),
  ...forms("hvs. hvb. dp.pt. dp.st.", { accepts: isBase64Url, min: 24, digit: true }),
  ...forms("dapi", { accepts: hex, min: 32 }),
  ...forms("lin_api_ ntn_ secret_ figd_ PMAK- NRAK- pat-na1- rdme_", {
    accepts: isBase64Url,
    min: 24,
    digit: true,
  }),
  ...forms("AGE-SECRET-KEY-1", { accepts: upperOrDigit, min: 50 }),
];

const BY_FIRST: ReadonlyMap<number, readonly KeyForm[]> = Map.groupBy(KEY_FORMS, (form) =>
  form.prefix.charCodeAt(0),
);

/** Keys of well-known providers, by their prefix and form. */
export function findApiKey(scan: Scan, from: number): Match | undefined {
  for (let start = from; start < scan.text.length; start += 1) {
    const candidates = BY_FIRST.get(codeAt(scan, start));
    if (candidates === undefined || !isWordStart(scan, start)) continue;
    for (const form of candidates) {
      const end = keyEnd(scan, start, form);
      if (end !== undefined) return { detector: "api_key", start, end };
    }
  }
  return undefined;
}

const MAX_KEY = 512;
/** How far behind the least length of a key its first digit may be. */
const DIGIT_REACH = 64;

function keyEnd(scan: Scan, start: number, form: KeyForm): number | undefined {
  scan.work += 1;
  if (!scan.text.startsWith(form.prefix, start)) return undefined;
  const body = start + form.prefix.length;
  // The least that makes it a key first, so that a text of nothing but prefixes is not read over and over.
  const least = runEnd(scan, body, form.accepts, form.min);
  if (least - body < form.min) return undefined;
  if (form.digit === true) {
    // A key may begin with twenty letters; further on it has a digit.
    const reach = runEnd(scan, least, form.accepts, DIGIT_REACH);
    if (!/\d/.test(scan.text.slice(body, reach))) return undefined;
  }
  if (form.exact !== true) return runEnd(scan, least, form.accepts, MAX_KEY);
  return isAlphanumeric(codeAt(scan, least)) ? undefined : least;
}
