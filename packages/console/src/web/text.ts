import { html, nothing, type TemplateResult } from "./lit.ts";
import type { RowView } from "./wire.ts";
import { reasonWords } from "./words.ts";

/**
 * Text that somebody else chose. Always a text binding, always isolated: a right-to-left mark in it cannot turn the
 * words around it. The title holds what the width cuts off.
 */
export function foreign(text: string, style = ""): TemplateResult {
  return html`<bdi class="foreign ${style}" title=${text}>${text}</bdi>`;
}

/** The same in a fixed-width face, for ids, names and hashes. `shown` may be a shortened form. */
export function code(text: string, shown: string = text): TemplateResult {
  return html`<bdi class="foreign code" title=${text}>${shown}</bdi>`;
}

/** The reason as a sentence, with the permission set apart. */
export function reason(row: RowView): TemplateResult {
  const [before = "", after] = reasonWords(row);
  if (after === undefined) return html`${before}`;
  return html`${before}${code(row.check?.permission ?? "")}${after}`;
}

/** A line of a description list; nothing when there is nothing to say. */
export function field(
  name: string,
  value: TemplateResult | string | undefined,
): TemplateResult | typeof nothing {
  return value === undefined
    ? nothing
    : html`<div class="field">
        <dt>${name}</dt>
        <dd>${value}</dd>
      </div>`;
}
