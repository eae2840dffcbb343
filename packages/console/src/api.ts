import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate } from "node:timers/promises";
import type { ArchiveIndex, ArchiveLog } from "@countersign/archive";
import { errorCode, type Logger } from "@countersign/model";
import { BadParameter, parseFilter, parsePage, parseStats } from "./params.ts";
import type { TraceSource } from "./trace-source.ts";
import type {
  DecisionPageView,
  DetailView,
  FindingsView,
  RowView,
  StatsView,
  TraceView,
} from "./web/wire.ts";

/** What the API reads from. */
export interface ApiSources {
  readonly index: ArchiveIndex;
  readonly log: ArchiveLog;
  readonly traces?: TraceSource | undefined;
  readonly logger?: Logger | undefined;
}

const TRACE_MAX_SPANS = 1000;
const FINDINGS_SHOWN = 50;
/** With the index's 20,000 rows a turn: a million decisions per request. */
const SEARCH_MAX_TURNS = 50;
const EVENT_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const TRACE_ID = /^[0-9a-f]{32}$/;

/** An answer that is not 200. The message is shown to the caller and holds nothing of the request. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Answers one request under `/api/`, all but the stream. Never rejects. */
export async function answerApi(
  sources: ApiSources,
  url: URL,
  response: ServerResponse,
): Promise<void> {
  try {
    sendJson(response, 200, await route(sources, url));
  } catch (error) {
    const { status, message } = refusalOf(error);
    if (status === 500)
      sources.logger?.error("console: an API request failed", { path: routeName(url) });
    sendJson(response, status, { error: { status, message } });
  }
}

/** Sends JSON; the security headers are set already. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(text);
}

/** The status and the sentence for an error. */
export function refusalOf(error: unknown): { status: number; message: string } {
  if (error instanceof Refusal) return { status: error.status, message: error.message };
  if (error instanceof BadParameter) return { status: 400, message: error.message };
  const code = errorCode(error);
  if (code === "INPUT_INVALID") return { status: 400, message: (error as Error).message };
  if (code === "UNAVAILABLE") return { status: 503, message: (error as Error).message };
  return { status: 500, message: "console: the request failed; the service's log says more" };
}

/** Only a read can be asked for: GET and HEAD. */
export function isRead(request: IncomingMessage): boolean {
  return request.method === "GET" || request.method === "HEAD";
}

async function route(sources: ApiSources, url: URL): Promise<unknown> {
  const [, , resource, id, more] = url.pathname.split("/");
  if (more === undefined && resource === "decisions") {
    return id === undefined ? await listDecisions(sources, url) : await readDecision(sources, id);
  }
  if (more === undefined && resource === "traces" && id !== undefined)
    return await readTrace(sources, id);
  if (resource === "stats" && id === undefined) return readStats(sources, url);
  if (resource === "findings" && id === undefined) return await readFindings(sources);
  throw new Refusal(
    404,
    "no such resource; there are decisions, decisions/<id>, findings, traces/<id>, stats, stream",
  );
}

/** A text search goes on where the index stopped looking, giving way to everybody else in between. */
async function listDecisions({ index, log }: ApiSources, url: URL): Promise<DecisionPageView> {
  const filter = parseFilter(url.searchParams, Date.now(), ["limit", "cursor"]);
  const { limit = 50, cursor } = parsePage(url.searchParams);
  const indexed = index.position;
  const rows: RowView[] = [];
  let next = cursor;
  for (let turn = 0; turn < SEARCH_MAX_TURNS; turn += 1) {
    const wanted = limit - rows.length;
    const page = index.query(filter, {
      limit: wanted,
      ...(next === undefined ? {} : { cursor: next }),
    });
    rows.push(...page.rows);
    next = page.next;
    if (next === undefined || rows.length >= limit) break;
    await setImmediate();
  }
  return { rows, ...(next === undefined ? {} : { next }), indexed, size: Number(log.size) };
}

async function readDecision({ index }: ApiSources, id: string): Promise<DetailView> {
  if (!EVENT_ID.test(id)) throw new Refusal(400, "a decision id is a UUID in lower case");
  const detail = await index.get(id);
  if (detail === undefined) throw new Refusal(404, "the archive holds no decision with this id");
  return detail as unknown as DetailView;
}

async function readTrace({ traces }: ApiSources, id: string): Promise<TraceView> {
  if (!TRACE_ID.test(id)) throw new Refusal(400, "a trace id is 32 lower-case hex digits");
  if (traces === undefined) return { source: false, spans: [] };
  const spans = await traces.trace(id);
  return { source: true, spans: spans.slice(0, TRACE_MAX_SPANS) };
}

function readStats({ index }: ApiSources, url: URL): StatsView {
  return index.stats(parseStats(url.searchParams, Date.now()));
}

async function readFindings({ index }: ApiSources): Promise<FindingsView> {
  return await index.findings(FINDINGS_SHOWN);
}

function routeName(url: URL): string {
  return url.pathname.split("/").slice(0, 3).join("/");
}
