import {
  ApiError,
  fetchDecisions,
  fetchDetail,
  fetchFindings,
  fetchStats,
  fetchTrace,
  followTail,
} from "./client.ts";
import { readState, stateAddress, withParameter, type PageState } from "./page-state.ts";
import type {
  DetailView,
  FindingsView,
  OutcomeNoticeView,
  RowView,
  StatsView,
  TraceView,
} from "./wire.ts";

/** Rows kept in the page; older ones are read again when asked for. */
const MAX_ROWS = 500;
const STATS_EVERY_MS = 15_000;

/** What the page shows at one moment. */
export interface View {
  readonly state: PageState;
  readonly rows: readonly RowView[];
  readonly next?: string | undefined;
  readonly link: "connecting" | "live" | "reconnecting";
  readonly loading: boolean;
  readonly error?: { readonly status: number; readonly message: string } | undefined;
  readonly detail?: DetailView | undefined;
  readonly detailError?: string | undefined;
  readonly trace?: TraceView | undefined;
  readonly stats?: StatsView | undefined;
  readonly findings?: FindingsView | undefined;
  /** Decisions in the log so far, all kinds of events counted. */
  readonly size: number;
}

/** Holds the view, and calls `changed` after every change. */
export class Store {
  view: View;
  readonly #changed: () => void;
  #endTail: () => void = () => undefined;
  #listing = new AbortController();
  #statsAt = 0;

  constructor(changed: () => void) {
    this.#changed = changed;
    this.view = {
      state: readState(location.search),
      rows: [],
      link: "connecting",
      loading: true,
      size: 0,
    };
  }

  /** Reads everything that the address asks for. */
  async load(): Promise<void> {
    const state = readState(location.search);
    this.#set({ state, rows: [], next: undefined, loading: true, error: undefined });
    await Promise.all([this.#list(), this.#readOpen(), this.#readStats()]);
  }

  /** Changes one parameter of the filter. Typing replaces the address, choosing adds to the history. */
  async filter(name: string, value: string, how: "push" | "replace" = "push"): Promise<void> {
    const state = {
      ...this.view.state,
      filter: withParameter(this.view.state.filter, name, value),
    };
    this.#go(state, how);
    this.#set({ state, loading: true, error: undefined });
    await this.#list();
  }

  /** Drops the whole filter. */
  async clear(): Promise<void> {
    const { open } = this.view.state;
    const state: PageState = open === undefined ? { filter: {} } : { filter: {}, open };
    this.#go(state, "push");
    this.#set({ state, loading: true, error: undefined });
    await this.#list();
  }

  /** Opens a decision, or closes the open one. */
  async open(id: string | undefined): Promise<void> {
    const { filter } = this.view.state;
    const state: PageState = id === undefined ? { filter } : { filter, open: id };
    this.#go(state, this.view.state.open === undefined ? "push" : "replace");
    this.#set({ state });
    await this.#readOpen();
  }

  /** The next page. */
  async more(): Promise<void> {
    const { next, state } = this.view;
    if (next === undefined || this.view.loading) return;
    this.#set({ loading: true });
    const page = await this.#guarded(fetchDecisions(state.filter, next, this.#listing.signal));
    if (page === undefined) return;
    this.#set({ rows: merge(this.view.rows, page.rows), next: page.next, loading: false });
  }

  #go(state: PageState, how: "push" | "replace"): void {
    const address = stateAddress(state);
    if (how === "push") history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  }

  async #list(): Promise<void> {
    this.#endTail();
    this.#listing.abort();
    this.#listing = new AbortController();
    const { filter } = this.view.state;
    const page = await this.#guarded(fetchDecisions(filter, undefined, this.#listing.signal));
    if (page === undefined) return;
    this.#set({
      rows: page.rows,
      next: page.next,
      loading: false,
      error: undefined,
      size: page.size,
    });
    this.#follow(filter, page.indexed);
  }

  #follow(filter: PageState["filter"], from: number): void {
    // What ends in the past has no tail.
    if (filter["until"] !== undefined) return;
    this.#endTail = followTail(filter, from, {
      connected: () => this.#set({ link: "live" }),
      disconnected: () => this.#set({ link: "reconnecting" }),
      decisions: (rows) => this.#arrived(rows),
      outcomes: (notices) => this.#ended(notices),
      reload: () => void this.#list(),
    });
  }

  #arrived(rows: readonly RowView[]): void {
    const all = merge(this.view.rows, rows);
    const kept = all.slice(0, MAX_ROWS);
    const last = kept.at(-1);
    const cut = all.length > kept.length && last !== undefined;
    const next = cut ? `${Date.parse(last.time)}.${last.position}` : this.view.next;
    this.#set({ rows: kept, next });
    if (Date.now() - this.#statsAt > 1000) void this.#readStats();
  }

  #ended(notices: readonly OutcomeNoticeView[]): void {
    const outcomes = new Map(notices.map((notice) => [notice.decisionId, notice.outcome]));
    const update = (row: RowView): RowView => {
      const outcome = outcomes.get(row.id);
      return outcome === undefined ? row : { ...row, outcome };
    };
    const { detail } = this.view;
    this.#set({ rows: this.view.rows.map(update) });
    if (detail !== undefined && outcomes.has(detail.row.id)) void this.#readOpen();
  }

  async #readOpen(): Promise<void> {
    const { open } = this.view.state;
    if (open === undefined) {
      this.#set({ detail: undefined, detailError: undefined, trace: undefined });
      return;
    }
    try {
      const detail = await fetchDetail(open);
      if (this.view.state.open !== open) return;
      const same = this.view.detail?.row.id === open;
      this.#set({ detail, detailError: undefined, ...(same ? {} : { trace: undefined }) });
      const { traceId } = detail.row;
      const trace = traceId === undefined ? undefined : await fetchTrace(traceId);
      if (this.view.state.open === open) this.#set({ trace });
    } catch (error) {
      if (this.view.state.open !== open) return;
      const detailError =
        error instanceof ApiError ? error.message : "The decision could not be read.";
      this.#set({ detail: undefined, detailError, trace: undefined });
    }
  }

  async #readStats(): Promise<void> {
    this.#statsAt = Date.now();
    const stats = await fetchStats().catch(() => undefined);
    if (stats !== undefined) this.#set({ stats });
    const findings = await fetchFindings().catch(() => undefined);
    if (findings !== undefined) this.#set({ findings });
  }

  /** Reads the counts now and then, so that the hour moves on when nothing happens. */
  keepStats(): void {
    setInterval(() => void this.#readStats(), STATS_EVERY_MS);
  }

  async #guarded<T>(pending: Promise<T>): Promise<T | undefined> {
    const { signal } = this.#listing;
    try {
      return await pending;
    } catch (error) {
      if (signal.aborted) return undefined;
      const known =
        error instanceof ApiError ? error : new ApiError(0, "The list could not be read.");
      this.#set({
        loading: false,
        error: { status: known.status, message: known.message },
        rows: [],
        next: undefined,
      });
      return undefined;
    }
  }

  #set(change: Partial<View>): void {
    this.view = { ...this.view, ...change };
    this.#changed();
  }
}

/** Both lists as one, newest first, each decision once. */
function merge(rows: readonly RowView[], more: readonly RowView[]): RowView[] {
  const all = new Map([...rows, ...more].map((row) => [row.id, row]));
  return [...all.values()].toSorted((a, b) =>
    a.time === b.time ? b.position - a.position : a.time < b.time ? 1 : -1,
  );
}
