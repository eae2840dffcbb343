import { assuranceBadge, verdictBadge } from "./badge.ts";
import { clockTime, day, isToday, shortIssuer } from "./format.ts";
import { html, nothing, repeat, type TemplateResult } from "./lit.ts";
import type { View } from "./store.ts";
import { code, foreign, reason } from "./text.ts";
import type { RowView } from "./wire.ts";
import { outcomeWords } from "./words.ts";

/** What the table tells its owner. */
export interface TableEvents {
  open(id: string): void;
  more(): void;
  key(event: KeyboardEvent): void;
}

/** The decisions, newest first. A grid: arrow keys move, Enter opens, Escape closes. */
export function decisionTable(
  view: View,
  active: string | undefined,
  events: TableEvents,
): TemplateResult {
  const current = active ?? view.state.open ?? view.rows[0]?.id;
  return html`
    <table
      role="grid"
      aria-label="Decisions"
      aria-busy=${view.loading}
      @keydown=${(event: KeyboardEvent) => events.key(event)}
    >
      <thead>
        <tr>
          <th scope="col" class="c-time">Time</th>
          <th scope="col" class="c-verdict">Decision</th>
          <th scope="col" class="c-who">Who</th>
          <th scope="col" class="c-agent">Agent</th>
          <th scope="col" class="c-what">Tool</th>
          <th scope="col" class="c-on">Resource</th>
          <th scope="col" class="c-why">Why</th>
        </tr>
      </thead>
      <tbody>
        ${repeat(
          view.rows,
          (row) => row.id,
          (row) => decisionRow(row, row.id === current, view.state.open === row.id, events),
        )}
      </tbody>
    </table>
    ${
      view.next === undefined
        ? nothing
        : html`<p class="more">
            <button type="button" ?disabled=${view.loading} @click=${() => events.more()}>
              Older decisions
            </button>
          </p>`
    }
  `;
}

function decisionRow(
  row: RowView,
  current: boolean,
  open: boolean,
  events: TableEvents,
): TemplateResult {
  const look = row.decision === "allow" ? "allow" : row.decision === "deny" ? "deny" : "error";
  return html`
    <tr
      class="row ${look}"
      data-id=${row.id}
      tabindex=${current ? 0 : -1}
      aria-selected=${open}
      @click=${() => events.open(row.id)}
    >
      <td class="c-time">
        <time datetime=${row.time} title=${row.time}
          >${clockTime(row.time)}${isToday(row.time) ? nothing : html`<small>${day(row.time)}</small>`}</time
        >
      </td>
      <td class="c-verdict">${verdictBadge(row.decision)}<small>${outcomeWords(row)}</small></td>
      <td class="c-who">${who(row)}</td>
      <td class="c-agent">${agent(row)}</td>
      <td class="c-what">${what(row)}</td>
      <td class="c-on">${on(row)}</td>
      <td class="c-why"><span>${reason(row)}</span>${mode(row)}</td>
    </tr>
  `;
}

function who(row: RowView): TemplateResult {
  if (row.human === undefined) return html`<span class="nobody">nobody known</span>`;
  const { subject, issuer, assurance } = row.human;
  return html`
    <span class="line"
      ><bdi class="foreign strong" title="${subject} — ${issuer}">${subject}</bdi
      >${assuranceBadge(assurance)}</span
    >
    <small><bdi class="foreign" title=${issuer}>${shortIssuer(issuer)}</bdi></small>
  `;
}

function agent(row: RowView): TemplateResult {
  const { id, claimed } = row.agent ?? {};
  if (id === undefined && claimed === undefined)
    return html`<span class="nothing" aria-label="unknown">–</span>`;
  const name = html`<span class="line">${foreign(claimed ?? id ?? "")}</span>`;
  if (id === undefined) return html`${name}<small>says so itself</small>`;
  return html`${name}<small>${claimed === undefined ? "verified" : foreign(id)}</small>`;
}

function what(row: RowView): TemplateResult {
  const name =
    row.nameWithheld === true
      ? html`<span class="nobody" title="The name was not fit to be recorded">name withheld</span>`
      : code(row.name ?? row.method);
  const detail =
    row.name === undefined && row.nameWithheld === undefined
      ? nothing
      : html`${foreign(row.method)} · `;
  return html`<span class="line">${name}</span
    ><small>${detail}${foreign(row.serverName ?? row.server)}</small>`;
}

function on(row: RowView): TemplateResult {
  const { check } = row;
  if (check === undefined) return html`<span class="nothing" aria-label="no resource">–</span>`;
  const others = row.checks > 1 ? html` · 1 of ${row.checks} checks` : nothing;
  return html`
    <span class="line">${code(`${check.type}:${check.id}`)}</span>
    <small>${foreign(check.permission)}${others}</small>
  `;
}

function mode(row: RowView): TemplateResult | typeof nothing {
  if (row.mode === "enforce") return nothing;
  return html`<small class="mode"
    >${foreign(row.mode)} mode:
    ${row.effect === "run" ? "the call ran" : "the call was stopped"}</small
  >`;
}
