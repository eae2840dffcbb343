import { assuranceBadge } from "./badge.ts";
import { clockTime, day, shortHash } from "./format.ts";
import { html, nothing, type TemplateResult } from "./lit.ts";
import { code, field, foreign } from "./text.ts";
import type { BindingView, EventView } from "./wire.ts";
import { assuranceWords, methodWords } from "./words.ts";

/** Who asked, through what software, and the evidence that was sealed: everything here was verified unless it says otherwise. */
export function whoPart({ data }: EventView): TemplateResult {
  const { human, agent } = data;
  const claimed = agent?.claimed;
  return html`
    <dl>
      ${
        human === undefined
          ? field("Human", html`<span class="nobody">nobody was established</span>`)
          : html`
              ${field("Human", code(human.subject))} ${field("Issuer", foreign(human.issuer))}
              ${field("Assurance", html`${assuranceBadge(human.assurance)} <span class="muted">${assuranceWords(human.assurance).long}</span>`)}
              ${field("Established by", foreign(methodWords(human.method)))}
              ${field("Logged in", human.authTime === undefined ? undefined : `${day(human.authTime)} ${clockTime(human.authTime)}`)}
              ${bindingFields(human.binding)}
            `
      }
      ${field("Agent", agent?.id === undefined ? undefined : html`${code(agent.id)} <span class="muted">verified</span>`)}
      ${field("Agent says it is", claimed === undefined ? undefined : html`${foreign(claimed.name ?? "?")} ${foreign(claimed.version ?? "")}`)}
      ${field("On behalf through", agent?.actors === undefined ? undefined : html`${agent.actors.map((actor, place) => html`${place === 0 ? nothing : ", before it "}${code(actor.subject)}`)}`)}
    </dl>
  `;
}

/** What ties the record to the login after its token has expired. */
function bindingFields(binding: BindingView | undefined): TemplateResult | typeof nothing {
  if (binding === undefined) return nothing;
  const { jkt, jti, tokenSha256 } = binding;
  return html`
    ${field("Login key", jkt === undefined ? undefined : html`${code(jkt)} <span class="muted">thumbprint (RFC 7638)</span>`)}
    ${field("Token hash", tokenSha256 === undefined ? undefined : html`${code(tokenSha256, shortHash(tokenSha256))} <span class="muted">SHA-256 of the token, which is not kept</span>`)}
    ${field("Proof id", jti === undefined ? undefined : code(jti))}
  `;
}
