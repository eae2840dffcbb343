import { shortHash } from "./format.ts";
import { html, type TemplateResult } from "./lit.ts";
import { code, field } from "./text.ts";
import type { DetailView, LinkView } from "./wire.ts";
import { linkWords } from "./words.ts";

/** Where the event stands: in its emitter's chain, with what its neighbours say of it, and in the log. */
export function chainPart({ event, hash, chain, row }: DetailView): TemplateResult {
  if (chain === undefined) {
    return html`<p class="none">
        None: this decision was read from a span, which carries no chain.
      </p>
      <dl>
        ${field("Decision id", code(event.id))}${field("Log position", String(row.position))}
      </dl>`;
  }
  return html`
    <ol class="links" aria-label="Chain">
      <li>
        ${link(chain.seq === 0 ? "Start of the epoch" : `Event ${chain.seq - 1}`, chain.before)}
      </li>
      <li class="self">
        <b>Event ${chain.seq}</b> ${code(hash, shortHash(hash))}
        <span class="muted">hashed just now from the stored bytes</span>
      </li>
      <li>${link(`Event ${chain.seq + 1}`, chain.after, "nothing follows yet")}</li>
    </ol>
    <dl>
      ${field("Decision id", code(event.id))} ${field("Hash", code(hash))}
      ${field("Hash before", code(chain.prev))} ${field("Emitter", code(chain.emitter))}
      ${field("Epoch", code(chain.epoch))} ${field("Log position", String(row.position))}
    </dl>
  `;
}

function link(name: string, at: LinkView, missing?: string): TemplateResult {
  const good = at.state === "verified" || at.state === "first" || at.state === "withheld";
  const look = good ? "good" : at.state === "missing" ? "absent" : "bad";
  const sign = good ? "✓" : look === "bad" ? "✕" : "–";
  const words = at.state === "missing" && missing !== undefined ? missing : linkWords(at.state);
  const kind = at.kind === undefined ? "" : ` (${at.kind})`;
  return html`<span class="linkstate ${look}"
    ><span aria-hidden="true">${sign}</span> ${name}${kind}: ${words}</span
  >`;
}
