import { detailPanel } from "./detail.ts";
import { filterBar } from "./filters.ts";
import { findingsPart } from "./findings.ts";
import { html, render, type TemplateResult } from "./lit.ts";
import { Store, type View } from "./store.ts";
import { summary } from "./summary.ts";
import { decisionTable } from "./table.ts";

/** The page: draws the view, moves the focus, and gives what people do to the store. */
class App {
  readonly #root: HTMLElement;
  readonly #store: Store;
  /** The row that Tab reaches; arrow keys move it. */
  #active: string | undefined;
  #drawing = false;
  #typing: ReturnType<typeof setTimeout> | undefined;

  constructor(root: HTMLElement) {
    this.#root = root;
    this.#store = new Store(() => this.#soon());
  }

  start(): void {
    addEventListener("popstate", () => void this.#store.load());
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#store.view.state.open !== undefined) this.#close();
    });
    this.#draw();
    this.#store.keepStats();
    void this.#store.load();
  }

  /** Many changes of one moment are one drawing. */
  #soon(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw(): void {
    render(this.#page(this.#store.view), this.#root);
  }

  #page(view: View): TemplateResult {
    const filters = { set: this.#filter, clear: () => void this.#store.clear() };
    return html`
      ${summary(view)} ${findingsPart(view.findings)} ${filterBar(view, filters)}
      <main class=${view.state.open === undefined ? "" : "with-detail"}>
        <div class="list">${this.#list(view)}</div>
        ${detailPanel(view, { close: () => this.#close(), filter: this.#filter })}
      </main>
    `;
  }

  #list(view: View): TemplateResult {
    if (view.error !== undefined) {
      const lost = view.error.status === 401;
      return html`<div class="notice" role="alert">
        <h2>${lost ? "Your session has ended" : "The decisions cannot be read"}</h2>
        <p>${view.error.message}</p>
        ${lost ? "" : html`<button type="button" @click=${() => void this.#store.load()}>Try again</button>`}
      </div>`;
    }
    if (view.rows.length === 0)
      return view.loading ? html`<p class="none" role="status">Reading…</p>` : nothingYet(view);
    return decisionTable(view, this.#active, {
      open: (id) => this.#open(id),
      more: () => void this.#store.more(),
      key: (event) => this.#key(event),
    });
  }

  readonly #filter = (name: string, value: string, how: "push" | "replace" = "push"): void => {
    clearTimeout(this.#typing);
    const waitMs = how === "replace" ? 200 : 0;
    this.#typing = setTimeout(() => void this.#store.filter(name, value, how), waitMs);
  };

  #key(event: KeyboardEvent): void {
    const rows = [...this.#root.querySelectorAll<HTMLElement>("tr[data-id]")];
    const at = rows.indexOf((event.target as HTMLElement).closest("tr[data-id]") as HTMLElement);
    if (at < 0) return;
    const moves: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + 10,
      PageUp: at - 10,
      Home: 0,
      End: rows.length - 1,
    };
    const to = moves[event.key];
    const id = rows[at]?.dataset["id"];
    if (event.key === "Enter" && id !== undefined) this.#open(id);
    else if (to !== undefined) this.#move(rows[Math.max(0, Math.min(to, rows.length - 1))]);
    else return;
    event.preventDefault();
  }

  #move(row: HTMLElement | undefined): void {
    const id = row?.dataset["id"];
    if (row === undefined || id === undefined) return;
    this.#active = id;
    row.focus();
    this.#draw();
    // With the panel open, moving is looking: the panel follows the row.
    if (this.#store.view.state.open !== undefined) void this.#store.open(id);
  }

  #open(id: string): void {
    this.#active = id;
    void this.#store.open(id);
    queueMicrotask(() => document.getElementById("detail-title")?.focus());
  }

  #close(): void {
    const id = this.#store.view.state.open;
    void this.#store.open(undefined);
    queueMicrotask(() => {
      for (const row of this.#root.querySelectorAll<HTMLElement>("tr[data-id]")) {
        if (row.dataset["id"] === id) row.focus();
      }
    });
  }
}

function nothingYet(view: View): TemplateResult {
  if (Object.keys(view.state.filter).length > 0) {
    return html`<div class="notice">
      <h2>No decision matches this filter</h2>
      <p>Change it above, or clear it. New decisions that match appear here by themselves.</p>
    </div>`;
  }
  return html`<div class="notice">
    <h2>No decisions yet</h2>
    <p>Put a guard before an MCP server, and let an agent call one of its tools:</p>
    <pre tabindex="0">countersign guard --policy policy.yaml -- npx some-mcp-server</pre>
    <p>
      A skeleton of the policy for a server comes from
      <code>countersign policy init -- npx some-mcp-server</code>. Each decision appears here the
      moment it is durable.
    </p>
  </div>`;
}

const root = document.getElementById("app");
if (root !== null) new App(root).start();
