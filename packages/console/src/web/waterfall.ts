import { duration } from "./format.ts";
import { html, nothing, svg, type TemplateResult } from "./lit.ts";
import { foreign } from "./text.ts";
import type { DetailView, SpanView, TraceView } from "./wire.ts";

const MAX_SHOWN = 100;
const WIDTH = 1000;

interface Placed {
  readonly span: SpanView;
  readonly depth: number;
}

/** The spans of the call, or why there are none. */
export function spans(detail: DetailView, trace: TraceView | undefined): TemplateResult {
  const { traceparent } = detail.event;
  if (traceparent === undefined) return html`<p class="none">The call carried no trace.</p>`;
  if (trace === undefined) return html`<p class="none">Reading the spans…</p>`;
  if (!trace.source)
    return html`<p class="none">
      This console keeps no spans. Look for the trace in your tracing backend.
    </p>`;
  if (trace.spans.length === 0) return html`<p class="none">${whyNone(traceparent)}</p>`;
  return waterfall(trace.spans);
}

function whyNone(traceparent: string): string {
  // W3C trace context: the last two digits are the flags, bit 0 is "sampled".
  const sampled = (Number.parseInt(traceparent.slice(-2), 16) & 1) === 1;
  return sampled
    ? "No spans of this trace are held here: they were not exported, or are no longer kept. The record does not depend on them."
    : "The trace was not sampled, so there are no spans. The record does not depend on them.";
}

function waterfall(all: readonly SpanView[]): TemplateResult {
  const placed = inOrder(all);
  const start = Math.min(...all.map((span) => span.startUs));
  const end = Math.max(...all.map((span) => span.startUs + span.durationUs));
  const total = Math.max(1, end - start);
  const more = placed.length - MAX_SHOWN;
  return html`
    <ol class="spans" aria-label="Spans of the call, ${duration(total)} in all">
      ${placed.slice(0, MAX_SHOWN).map(({ span, depth }) => line(span, depth, { start, total }))}
    </ol>
    ${more > 0 ? html`<p class="none">and ${more} more spans</p>` : nothing}
  `;
}

function line(
  span: SpanView,
  depth: number,
  time: { start: number; total: number },
): TemplateResult {
  const x = ((span.startUs - time.start) / time.total) * WIDTH;
  const width = Math.max(4, (span.durationUs / time.total) * WIDTH);
  const failed = span.status === "error";
  return html`
    <li class="d${Math.min(depth, 6)} ${failed ? "failed" : ""}">
      <span class="span-name"
        >${foreign(span.name)}${failed ? html`<b class="flag">failed</b>` : nothing}</span
      >
      <span class="span-of"
        >${span.kind}${span.service === undefined ? nothing : html` · ${foreign(span.service)}`}</span
      >
      <svg
        class="bar ${span.kind}"
        viewBox="0 0 ${WIDTH} 8"
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        ${svg`<rect x=${Math.min(x, WIDTH - 4)} y="0" width=${width} height="8" rx="2"></rect>`}
      </svg>
      <span class="span-time">${duration(span.durationUs)}</span>
    </li>
  `;
}

/** Parents before children, by start; a span whose parent is not here is a root. Cycles end where they are met. */
function inOrder(all: readonly SpanView[]): Placed[] {
  const sorted = all.toSorted((a, b) => a.startUs - b.startUs);
  const ids = new Set(sorted.map((span) => span.spanId));
  const children = Map.groupBy(sorted, (span) =>
    span.parentSpanId !== undefined && ids.has(span.parentSpanId) ? span.parentSpanId : "",
  );
  const placed: Placed[] = [];
  const seen = new Set<SpanView>();
  const walk = (parent: string, depth: number): void => {
    for (const span of children.get(parent) ?? []) {
      if (seen.has(span)) continue;
      seen.add(span);
      placed.push({ span, depth });
      if (depth < 64) walk(span.spanId, depth + 1);
    }
  };
  walk("", 0);
  for (const span of sorted) if (!seen.has(span)) placed.push({ span, depth: 0 });
  return placed;
}
