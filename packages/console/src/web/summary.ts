import { clockTime } from "./format.ts";
import { html, nothing, svg, type TemplateResult } from "./lit.ts";
import type { View } from "./store.ts";
import type { StatsView } from "./wire.ts";

const LINKS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Not connected; trying again",
} as const;
const HEIGHT = 28;
const STEP = 4;

/** The line at the top: name, whether the list is live, and the last hour at a glance. */
export function summary(view: View): TemplateResult {
  const past = view.state.filter["until"] !== undefined;
  const state = view.error !== undefined ? "reconnecting" : view.link;
  return html`
    <header class="top">
      <h1>Countersign</h1>
      <p class="link ${past ? "past" : state}" role="status">
        <span class="dot" aria-hidden="true"></span>${past ? "A time in the past" : LINKS[state]}
      </p>
      ${view.stats === undefined ? nothing : lastHour(view.stats)}
    </header>
  `;
}

function lastHour(stats: StatsView): TemplateResult {
  const sum = { allow: 0, deny: 0, error: 0 };
  for (const bucket of stats.buckets) {
    sum.allow += bucket.allow;
    sum.deny += bucket.deny;
    sum.error += bucket.error;
  }
  const words = `Last hour: ${sum.allow} allowed, ${sum.deny} denied, ${sum.error} undecided`;
  return html`
    <div class="hour" role="img" aria-label=${words}>
      <span aria-hidden="true" class="figures"
        >Last hour <b class="allow">✓ ${sum.allow}</b><b class="deny">✕ ${sum.deny}</b
        ><b class="error">! ${sum.error}</b></span
      >
      ${bars(stats)}
    </div>
  `;
}

/** Allowed above the line, everything else below it: the direction says what the colour says. */
function bars(stats: StatsView): TemplateResult {
  const most = Math.max(1, ...stats.buckets.map((b) => Math.max(b.allow, b.deny + b.error)));
  const half = HEIGHT / 2;
  const length = (count: number): number =>
    count === 0 ? 0 : Math.max(1.5, (count / most) * (half - 1));
  return html`
    <svg
      class="bars"
      aria-hidden="true"
      width=${stats.buckets.length * STEP}
      height=${HEIGHT}
      viewBox="0 0 ${stats.buckets.length * STEP} ${HEIGHT}"
    >
      <line x1="0" x2=${stats.buckets.length * STEP} y1=${half} y2=${half} class="axis" />
      ${stats.buckets.map((bucket, index) => {
        const up = length(bucket.allow);
        const down = length(bucket.deny + bucket.error);
        return svg`<g><title>${clockTime(new Date(bucket.startMs).toISOString())}</title>
          <rect class="allow" x=${index * STEP} y=${half - up} width="3" height=${up}></rect>
          <rect class="deny" x=${index * STEP} y=${half} width="3" height=${down}></rect></g>`;
      })}
    </svg>
  `;
}
