import { html, type TemplateResult } from "./lit.ts";
import { assuranceWords, verdictWord } from "./words.ts";

const KNOWN_DECISIONS: readonly string[] = ["allow", "deny", "error"];
const KNOWN_VERDICTS: Readonly<Record<string, string>> = {
  allow: "allow",
  deny: "deny",
  conditional: "deny",
  error: "error",
};

/** The verdict: sign, word and shape say the same as the colour. */
export function verdictBadge(decision: string): TemplateResult {
  const { word, sign } = verdictWord(decision);
  const look = KNOWN_DECISIONS.includes(decision) ? decision : "error";
  return html`<span class="verdict ${look}"
    ><span class="sign" aria-hidden="true">${sign}</span>${word}</span
  >`;
}

/** The verdict of one check, small. */
export function checkBadge(verdict: string): TemplateResult {
  const look = Object.hasOwn(KNOWN_VERDICTS, verdict)
    ? (KNOWN_VERDICTS[verdict] as string)
    : "error";
  return html`<span class="verdict small ${look}"
    ><span class="sign" aria-hidden="true">${verdictWord(look).sign}</span>${verdict}</span
  >`;
}

/** How the human was established. Weak levels have a broken outline. */
export function assuranceBadge(assurance: string): TemplateResult {
  const { short, long } = assuranceWords(assurance);
  const weak = assurance === "asserted" || assurance === "os_user";
  return html`<span class="assurance ${weak ? "weak" : ""}" title=${long}>${short}</span>`;
}
