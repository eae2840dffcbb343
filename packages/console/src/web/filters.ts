import { html, nothing, repeat, type TemplateResult } from "./lit.ts";
import type { View } from "./store.ts";
import { code } from "./text.ts";

/** What the filter bar tells its owner. */
export interface FilterEvents {
  set(name: string, value: string, how?: "push" | "replace"): void;
  clear(): void;
}

const DECISIONS = [
  ["", "All"],
  ["allow", "Allowed"],
  ["deny", "Denied"],
  ["error", "Undecided"],
] as const;
const TIMES = [
  ["", "Any time"],
  ["15m", "Last 15 minutes"],
  ["1h", "Last hour"],
  ["24h", "Last 24 hours"],
  ["7d", "Last 7 days"],
] as const;
/** Filters that have no control of their own: set by a click on a value, shown as a chip. */
const CHIPS: Readonly<Record<string, string>> = {
  human: "human",
  issuer: "issuer",
  tool: "tool",
  method: "method",
  server: "server",
  emitter: "emitter",
  reason: "reason",
  resource: "resource",
  trace: "trace",
  until: "until",
};

/** The bar above the table. Its state is the address; nothing else remembers it. */
export function filterBar(view: View, events: FilterEvents): TemplateResult {
  const { filter } = view.state;
  const typed = (event: Event): void => {
    const { value } = event.target as HTMLInputElement;
    events.set("q", value.trim(), "replace");
  };
  const times = TIMES.some(([value]) => value === (filter["since"] ?? ""))
    ? TIMES
    : [...TIMES, [filter["since"] ?? "", `Since ${filter["since"] ?? ""}`] as const];
  return html`
    <form
      class="filters"
      role="search"
      aria-label="Filter decisions"
      @submit=${(event: Event) => event.preventDefault()}
    >
      <fieldset class="segments">
        <legend>Decision</legend>
        ${DECISIONS.map(
          ([value, label]) =>
            html`<label
              ><input
                type="radio"
                name="decision"
                .checked=${(filter["decision"] ?? "") === value}
                @change=${() => events.set("decision", value)}
              /><span>${label}</span></label
            >`,
        )}
      </fieldset>
      <label class="search"
        ><span class="label">Search</span>
        <input
          type="search"
          name="q"
          placeholder="human, agent, tool, server or resource"
          maxlength="256"
          autocomplete="off"
          spellcheck="false"
          .value=${filter["q"] ?? ""}
          @input=${typed}
        />
      </label>
      <label
        ><span class="label">Time</span>
        <select
          name="since"
          @change=${(event: Event) => events.set("since", (event.target as HTMLSelectElement).value)}
        >
          ${times.map(([value, label]) => html`<option value=${value} ?selected=${(filter["since"] ?? "") === value}>${label}</option>`)}
        </select>
      </label>
      ${chips(filter, events)}
    </form>
  `;
}

function chips(
  filter: Readonly<Record<string, string>>,
  events: FilterEvents,
): TemplateResult | typeof nothing {
  const set = Object.keys(filter);
  if (set.length === 0) return nothing;
  const shown = set.filter((name) => Object.hasOwn(CHIPS, name));
  return html`
    <div class="chips">
      ${repeat(
        shown,
        (name) => name,
        (name) =>
          html`<span class="chip"
            ><span class="label">${CHIPS[name]}</span>${code(filter[name] ?? "")}
            <button
              type="button"
              aria-label="Remove the ${CHIPS[name]} filter"
              @click=${() => events.set(name, "")}
            >
              ✕
            </button></span
          >`,
      )}
      <button type="button" class="quiet" @click=${() => events.clear()}>Clear filter</button>
    </div>
  `;
}
