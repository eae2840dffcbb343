import { clockTime, day } from "./format.ts";
import { html, nothing, type TemplateResult } from "./lit.ts";
import { code, foreign } from "./text.ts";
import type { FindingsView, FindingView } from "./wire.ts";
import { findingWords } from "./words.ts";

/** What was found when the record itself was looked at: about the record, not about a call. Nothing when all is well. */
export function findingsPart(view: FindingsView | undefined): TemplateResult | typeof nothing {
  if (view === undefined || view.total === 0) return nothing;
  const { total, findings } = view;
  const words = total === 1 ? "1 finding about the record" : `${total} findings about the record`;
  return html`
    <details class="findings">
      <summary>${words}</summary>
      <ul>
        ${findings.map(line)}
      </ul>
      ${total > findings.length ? html`<p class="muted">The newest ${findings.length}.</p>` : nothing}
    </details>
  `;
}

function line({ time, data }: FindingView): TemplateResult {
  const { finding, of, missing } = data;
  return html`<li>
    <b>${foreign(finding)}</b> ${findingWords(finding)}
    <span class="muted"
      >${of.emitter === undefined ? nothing : html`${code(of.emitter)}`}
      ${of.source === undefined ? nothing : html`${code(of.source)}`}
      ${of.epoch === undefined ? nothing : html`epoch ${code(of.epoch, `${of.epoch.slice(0, 8)}…`)}`}
      ${missing === undefined ? nothing : html`${missing.what} ${missing.from} to ${missing.to}`}
      ${of.seq === undefined ? nothing : html`event ${of.seq}`}</span
    >
    <time datetime=${time} title=${time}>${day(time)} ${clockTime(time)}</time>
  </li>`;
}
