// Which events are there already. A data stream cannot be asked for a document by its id alone: it has to be searched.
import { awayBy } from "../http-failure.ts";
import { askFor, type Destination } from "./destination.ts";

/** Asks a data stream for ids. */
export interface KnownIds {
  /** Those of `ids` that it has, in whichever backing index. */
  among(ids: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** Ids of the events with a `@timestamp` in the range, page by page; one that is there twice comes twice. */
  inRange(
    range: { readonly fromMs: number; readonly untilMs: number },
    signal: AbortSignal,
  ): AsyncIterable<string>;
}

interface Hits {
  readonly ids: readonly string[];
  readonly total: number;
  readonly scroll: string | undefined;
}

/** Ids in one question. */
const MAX_IDS = 512;
/** Ids in one answer; what `index.max_result_window` is unless told otherwise. */
const MAX_HITS = 10_000;
const PAGE_HITS = 5000;
/** How long the engine keeps our place between two pages. */
const SCROLL = "2m";
const FILTER =
  "filter_path=timed_out,_shards.failed,_scroll_id,hits.total.value,hits.hits._id&allow_partial_search_results=false";

export function createKnownIds(to: Destination): KnownIds {
  const read = `read and maintenance (OpenSearch: read, indices:admin/refresh) on ${to.stream}`;
  const ask = (path: string, body: object | undefined, signal: AbortSignal) =>
    askFor(to, { method: "POST", path, ...(body && { body }), right: read, signal });
  // What was indexed in the last second is there and not found before a refresh.
  const refresh = (signal: AbortSignal) => ask(`/${to.stream}/_refresh`, undefined, signal);
  const search = async (body: object, more: string, signal: AbortSignal): Promise<Hits> =>
    hitsOf(await ask(`/${to.stream}/_search?${more}${FILTER}`, body, signal), to);

  const find = async (ids: readonly string[], signal: AbortSignal): Promise<readonly string[]> => {
    const query = { ids: { values: ids } };
    const body = { size: MAX_HITS, _source: false, track_total_hits: true, query };
    const found = await search(body, "", signal);
    if (found.total <= found.ids.length || ids.length === 1) return found.ids;
    // Only if events are there many times over.
    const middle = ids.length >> 1;
    return [
      ...(await find(ids.slice(0, middle), signal)),
      ...(await find(ids.slice(middle), signal)),
    ];
  };

  return {
    async among(ids, signal) {
      const held = new Set<string>();
      if (ids.length > 0) await refresh(signal);
      for (let at = 0; at < ids.length; at += MAX_IDS) {
        for (const id of await find(ids.slice(at, at + MAX_IDS), signal)) held.add(id);
      }
      return held;
    },
    async *inRange({ fromMs, untilMs }, signal) {
      await refresh(signal);
      const range = { gte: fromMs, lt: untilMs, format: "epoch_millis" };
      const query = { range: { "@timestamp": range } };
      const body = { size: PAGE_HITS, _source: false, sort: ["_doc"], query };
      let page = await search(body, `scroll=${SCROLL}&`, signal);
      try {
        while (page.ids.length > 0) {
          yield* page.ids;
          const next = { scroll: SCROLL, scroll_id: page.scroll };
          page = hitsOf(await ask(`/_search/scroll?${FILTER_SCROLL}`, next, signal), to);
        }
      } finally {
        await endScroll(to, page.scroll, signal);
      }
    },
  };
}

const FILTER_SCROLL =
  "filter_path=timed_out,_shards.failed,_scroll_id,hits.total.value,hits.hits._id";

/** It ends by itself, too. */
async function endScroll(
  to: Destination,
  scroll: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (scroll === undefined) return;
  const body = { scroll_id: scroll };
  const question = {
    method: "DELETE",
    path: "/_search/scroll",
    body,
    right: "read",
    signal,
  } as const;
  await askFor(to, question).catch(() => undefined);
}

/** Part of an answer is none: what is not in it may be there. */
function hitsOf(answer: Readonly<Record<string, unknown>>, to: Destination): Hits {
  const { timed_out, _shards, hits, _scroll_id } = answer as {
    timed_out?: unknown;
    _shards?: { failed?: unknown };
    _scroll_id?: unknown;
    hits?: { total?: { value?: unknown }; hits?: unknown };
  };
  if (timed_out !== false || _shards?.failed !== 0)
    throw awayBy(to.health, "not all of the data stream answered what it has");
  const list = hits?.hits ?? [];
  const ids = Array.isArray(list) ? list.map((hit: { _id?: unknown } | null) => hit?.["_id"]) : [0];
  const total = hits?.total?.value ?? ids.length;
  if (typeof total !== "number" || !ids.every((id): id is string => typeof id === "string"))
    throw awayBy(to.health, "the answer is none of a search");
  return { ids, total, scroll: typeof _scroll_id === "string" ? _scroll_id : undefined };
}
