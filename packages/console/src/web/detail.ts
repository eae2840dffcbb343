import { checkBadge, verdictBadge } from "./badge.ts";
import { chainPart } from "./chain.ts";
import { clockTime, day, duration, readAs } from "./format.ts";
import { html, nothing, type TemplateResult } from "./lit.ts";
import type { View } from "./store.ts";
import { code, field, foreign, reason } from "./text.ts";
import { spans } from "./waterfall.ts";
import { whoPart } from "./who.ts";
import type { CheckView, DetailView, ObjectView } from "./wire.ts";
import { outcomeWords } from "./words.ts";

/** What the panel tells its owner. */
export interface DetailEvents {
  close(): void;
  filter(name: string, value: string): void;
}

/** The open decision, beside the table (over it where there is no room). */
export function detailPanel(view: View, events: DetailEvents): TemplateResult | typeof nothing {
  if (view.state.open === undefined) return nothing;
  const { detail } = view;
  return html`
    <section
      class="detail"
      role="region"
      aria-label="Decision detail"
      aria-busy=${detail === undefined && view.detailError === undefined}
    >
      <div class="detail-top">
        <h2 tabindex="-1" id="detail-title">
          ${detail === undefined ? "Decision" : title(detail)}
        </h2>
        <button
          type="button"
          class="close"
          aria-label="Close detail"
          title="Close (Esc)"
          @click=${() => events.close()}
        >
          ✕
        </button>
      </div>
      ${
        detail === undefined
          ? html`<p class="none" role="status">${view.detailError ?? "Reading the decision…"}</p>`
          : content(detail, view, events)
      }
    </section>
  `;
}

function title({ row }: DetailView): TemplateResult {
  return html`${verdictBadge(row.decision)}
  ${row.nameWithheld === true ? "name withheld" : code(row.name ?? row.method)}`;
}

function content(detail: DetailView, view: View, events: DetailEvents): TemplateResult {
  const { row, event } = detail;
  return html`
    <p class="why">
      ${reason(row)}.
      <span class="muted"
        >Reason ${code(row.reason)};
        ${outcomeWords(row)}${
          row.outcome === undefined ? nothing : html` after ${duration(row.outcome.durationUs)}`
        }${row.outcome?.rpcCode === undefined ? nothing : html` (code ${row.outcome.rpcCode})`}.</span
      >
    </p>
    <p class="actions">${narrow(detail, events)}</p>
    <h3>Who asked</h3>
    ${whoPart(event)}
    <h3>What was checked</h3>
    ${checks(event.data.checks, row.list)}
    <h3>The call</h3>
    ${call(detail)}
    <h3>Spans</h3>
    ${spans(detail, view.trace)}
    <h3>Place in the chain</h3>
    ${chainPart(detail)}
    <details class="raw">
      <summary>The event as it was sealed</summary>
      <pre tabindex="0"><bdi>${JSON.stringify(event, null, 2)}</bdi></pre>
    </details>
  `;
}

function narrow({ row }: DetailView, events: DetailEvents): TemplateResult {
  const button = (
    label: string,
    name: string,
    value: string | undefined,
  ): TemplateResult | typeof nothing =>
    value === undefined
      ? nothing
      : html`<button type="button" class="quiet" @click=${() => events.filter(name, value)}>
          ${label}
        </button>`;
  return html`<span class="muted">Only</span> ${button("this human", "human", row.human?.subject)}
    ${button("this tool", "tool", row.name)} ${button("this server", "server", row.server)}
    ${button("this reason", "reason", row.reason)} ${button("this trace", "trace", row.traceId)}`;
}

function checks(
  all: readonly CheckView[] | undefined,
  list: { shown: number; offered: number } | undefined,
): TemplateResult {
  if (list !== undefined)
    return html`<p class="none">A list: ${list.shown} of ${list.offered} entries were shown.</p>`;
  if (all === undefined)
    return html`<p class="none">Nothing: the call was decided before the authorizer was asked.</p>`;
  return html`
    <table class="checks" aria-label="Checks">
      <thead>
        <tr>
          <th scope="col">Verdict</th>
          <th scope="col">Permission</th>
          <th scope="col">Resource</th>
          <th scope="col">Subject</th>
          <th scope="col">Took</th>
        </tr>
      </thead>
      <tbody>
        ${all.map(
          (check) =>
            html`<tr>
              <td>
                ${checkBadge(check.verdict)}${check.reason === undefined ? nothing : html`<small>${foreign(check.reason)}</small>`}
              </td>
              <td>${code(check.permission)}</td>
              <td>${object(check.resource)}</td>
              <td>${object(check.subject)}</td>
              <td title="engine ${check.engine}">${duration(check.durationUs)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
    <p class="muted">Asked of ${foreign(all[0]?.engine ?? "")}; ids as they were sent.</p>
  `;
}

function object({ type, id }: ObjectView): TemplateResult {
  const text = readAs(id);
  return html`${code(`${type}:${id}`)}${text === undefined ? nothing : html`<small>reads ${foreign(text)}</small>`}`;
}

function call({ event, row }: DetailView): TemplateResult {
  const { call: made, server, policy, durationUs, tenant, mode } = event.data;
  return html`
    <dl>
      ${field("Decided", html`<time datetime=${event.time} title=${event.time}>${day(event.time)} ${clockTime(event.time)}</time> <span class="muted">in ${duration(durationUs)}</span>`)}
      ${field("Method", code(made.method))}
      ${field("Request", made.requestId === undefined ? undefined : code(made.requestId))}
      ${field(
        "Came by",
        html`${made.transport},
        ${made.gate === "guard" ? "through the guard" : "in the server's process"}${
          made.protocolVersion === undefined
            ? nothing
            : html`, MCP ${foreign(made.protocolVersion)}`
        }`,
      )}
      ${field("Server", html`${code(server.id)} ${server.name === undefined ? nothing : html`<span class="muted">${foreign(server.name)} ${foreign(server.version ?? "")}</span>`}`)}
      ${field("Policy rule", policy.rule === undefined ? undefined : code(policy.rule))}
      ${field("Policy", code(policy.digest, `${policy.digest.slice(0, 23)}…`))}
      ${field("Mode", mode === "enforce" ? undefined : foreign(mode))}
      ${field("Tenant", foreign(tenant))}
      ${field("Trace", row.traceId === undefined ? undefined : html`${code(row.traceId)} <span class="muted">chosen by the caller: a join key, not evidence</span>`)}
    </dl>
  `;
}
