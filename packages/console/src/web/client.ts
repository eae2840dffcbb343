import { filterQuery } from "./page-state.ts";
import type {
  DecisionPageView,
  DetailView,
  FindingsView,
  OutcomeNoticeView,
  RowView,
  StatsView,
  TraceView,
} from "./wire.ts";

/** An answer other than 200; the message is the server's own sentence. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, {
    headers: { accept: "application/json" },
    signal: signal ?? null,
  }).catch((error: unknown) => {
    if (signal?.aborted === true) throw error;
    throw new ApiError(0, "The service does not answer.");
  });
  const body = (await response.json().catch(() => ({}))) as { error?: { message?: string } };
  if (!response.ok) {
    throw new ApiError(
      response.status,
      body.error?.message ?? `The service answered ${response.status}.`,
    );
  }
  return body as T;
}

type Filter = Readonly<Record<string, string>>;

/** One page of decisions. */
export async function fetchDecisions(
  filter: Filter,
  cursor: string | undefined,
  signal: AbortSignal,
): Promise<DecisionPageView> {
  const query = filterQuery(filter);
  query.set("limit", "100");
  if (cursor !== undefined) query.set("cursor", cursor);
  return await get(`/api/decisions?${query.toString()}`, signal);
}

/** Everything about one decision. */
export async function fetchDetail(id: string): Promise<DetailView> {
  return await get(`/api/decisions/${encodeURIComponent(id)}`);
}

/** The spans of a call. */
export async function fetchTrace(traceId: string): Promise<TraceView> {
  return await get(`/api/traces/${encodeURIComponent(traceId)}`);
}

/** Counts of the last hour, by the minute. */
export async function fetchStats(): Promise<StatsView> {
  return await get("/api/stats?since=1h&bucket=1m");
}

/** What was found when the record itself was looked at. */
export async function fetchFindings(): Promise<FindingsView> {
  return await get("/api/findings");
}

/** What the tail reports. */
export interface TailListener {
  connected(): void;
  disconnected(): void;
  decisions(rows: readonly RowView[]): void;
  outcomes(notices: readonly OutcomeNoticeView[]): void;
  /** More came at once than is worth sending: read the list again. */
  reload(): void;
}

/** Follows the log from a position on; the browser reconnects by itself. Call the result to end it. */
export function followTail(filter: Filter, from: number, listener: TailListener): () => void {
  const query = filterQuery(filter);
  query.set("from", String(from));
  const source = new EventSource(`/api/stream?${query.toString()}`);
  source.addEventListener("open", () => listener.connected());
  source.addEventListener("error", () => listener.disconnected());
  source.addEventListener("decisions", (event) =>
    listener.decisions(JSON.parse(event.data) as RowView[]),
  );
  source.addEventListener("outcomes", (event) =>
    listener.outcomes(JSON.parse(event.data) as OutcomeNoticeView[]),
  );
  source.addEventListener("reload", () => listener.reload());
  return () => source.close();
}
