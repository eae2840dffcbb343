import {
  codeAt,
  isAlphanumeric,
  isDigit,
  isLetter,
  isWordStart,
  type Match,
  type Scan,
} from "./scan.ts";

/** Length of an IBAN by country (SWIFT registry). */
export const IBAN_LENGTHS: ReadonlyMap<string, number> = new Map(
  (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 " +
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 " +
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 " +
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
  )
    .split(" ")
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))] as const),
);

/** IBANs: country, its length, mod-97 (ISO 13616), plain or with a space or dash between groups. */
export function findIban(scan: Scan, from: number): Match | undefined {
  for (let index = from; index < scan.text.length; index += 1) {
    if (!isLetter(codeAt(scan, index)) || !isDigit(codeAt(scan, index + 2))) continue;
    if (!isWordStart(scan, index)) continue;
    const end = ibanEnd(scan, index);
    if (end !== undefined) return { detector: "iban", start: index, end };
  }
  return undefined;
}

function ibanEnd(scan: Scan, start: number): number | undefined {
  const country = scan.text.slice(start, start + 2);
  const length = IBAN_LENGTHS.get(scan.strict ? country : country.toUpperCase());
  if (length === undefined) return undefined;
  let letters = "";
  let index = start;
  while (letters.length < length) {
    const code = codeAt(scan, index);
    if (isAlphanumeric(code)) letters += scan.text.charAt(index);
    // One gap between characters; a text that ends gives NaN.
    else if ((code !== 0x20 && code !== 0x2d) || !isAlphanumeric(codeAt(scan, index + 1))) {
      return undefined;
    }
    index += 1;
  }
  if (isAlphanumeric(codeAt(scan, index))) return undefined;
  if (scan.strict && letters !== letters.toUpperCase()) return undefined;
  return isMod97(letters.toUpperCase()) ? index : undefined;
}

function isMod97(iban: string): boolean {
  let remainder = 0;
  for (const character of iban.slice(4) + iban.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder === 1 && isDigit(iban.charCodeAt(3));
}
