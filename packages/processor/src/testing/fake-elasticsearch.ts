// A data stream that only this process has, and that forgives nothing: what breaks the protocol is a violation, and the test fails.
// Its answers have the shape of those of Elasticsearch 8.19 and OpenSearch 3.8.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { gunzipSync } from "node:zlib";
import { onTestFinished } from "vitest";

/** What it says of a document, instead of storing it. */
export interface ItemAnswer {
  readonly status: number;
  readonly type?: string;
  readonly failureStore?: string;
}

/** Answers to a bulk request before it is looked at. */
export type WholeAnswer = (response: ServerResponse) => void;

export interface FakeElasticsearch {
  readonly url: string;
  readonly violations: readonly string[];
  /** Documents of each backing index, oldest first. */
  readonly indices: readonly ReadonlyMap<string, Record<string, unknown>>[];
  /** Paths without their query, in order. */
  readonly asked: readonly string[];
  /** Ids of each bulk request. */
  readonly bulks: readonly (readonly string[])[];
  /** Next bulk requests, one each, are answered with these. */
  readonly whole: WholeAnswer[];
  /** Called for every document; undefined stores it. */
  item: ((id: string, nth: number) => ItemAnswer | undefined) | undefined;
  /** Changes the answer to a bulk request, which was carried out. */
  spoil:
    | ((answer: { errors: boolean; items: { create: Record<string, unknown> }[] }) => unknown)
    | undefined;
  /** Status of a proxy's answer to a request; undefined lets it through. */
  route: (what: string) => number | undefined;
  maxBodyBytes: number;
  isThere: boolean;
  dynamic: string | undefined;
  authorization: string | undefined;
  rollover(): void;
  readonly count: number;
}

export const STREAM = "logs-countersign.decisions-test";

/** Listens on loopback until the test ends. */
export async function fakeElasticsearch(): Promise<FakeElasticsearch> {
  const fake = new Fake();
  const server = createServer((request, response) => fake.answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  );
  fake.url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  return fake;
}

class Fake implements FakeElasticsearch {
  url = "";
  readonly violations: string[] = [];
  readonly indices: Map<string, Record<string, unknown>>[] = [new Map()];
  readonly asked: string[] = [];
  readonly bulks: string[][] = [];
  readonly whole: WholeAnswer[] = [];
  item: FakeElasticsearch["item"];
  spoil: FakeElasticsearch["spoil"];
  route: FakeElasticsearch["route"] = () => undefined;
  maxBodyBytes = 10_000_000;
  isThere = true;
  dynamic: string | undefined = "false";
  authorization: string | undefined;
  /** Ids that a search finds: those of before the last refresh. */
  #visible: string[] = [];
  #scrolls = new Map<string, string[]>();

  get count(): number {
    return this.indices.reduce((sum, { size }) => sum + size, 0);
  }

  rollover(): void {
    this.indices.push(new Map());
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const url = new URL(request.url ?? "", this.url);
      this.asked.push(`${request.method} ${url.pathname}`);
      const sent = Buffer.concat(chunks);
      const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
      response.setHeader("content-type", "application/json");
      response.setHeader("x-elastic-product", "Elasticsearch");
      if (request.headers.authorization !== this.authorization)
        response.writeHead(401).end(error(401, "security_exception"));
      else this.#route(request, url, body, response);
    });
  }

  #route(request: IncomingMessage, url: URL, body: Buffer, response: ServerResponse): void {
    const what = `${request.method} ${url.pathname}`;
    const status = this.route(what);
    if (status !== undefined) return void response.writeHead(status).end("<html>");
    if (what === `POST /${STREAM}/_bulk`) return this.#bulk(request, body, response);
    const json = body.length === 0 ? {} : (JSON.parse(body.toString()) as Record<string, unknown>);
    if (body.length > 0 && request.headers["content-type"] !== "application/json")
      this.violations.push(`${what} with ${request.headers["content-type"]}`);
    const reply = (value: unknown): void => void response.end(JSON.stringify(value));
    if (!this.isThere)
      return void response.writeHead(404).end(error(404, "index_not_found_exception"));
    if (what === `GET /${STREAM}/_mapping`) return reply(this.#mappings());
    if (what === `POST /${STREAM}/_refresh`) {
      this.#visible = this.indices.flatMap((index) => [...index.keys()]);
      return reply({ _shards: { total: 1, successful: 1, failed: 0 } });
    }
    if (what === `POST /${STREAM}/_search`) return reply(this.#search(json, url));
    if (what === "POST /_search/scroll") return reply(this.#page(String(json["scroll_id"])));
    if (what === "DELETE /_search/scroll") {
      if (!this.#scrolls.delete(String(json["scroll_id"]))) this.violations.push("ends no scroll");
      return reply({ succeeded: true, num_freed: 1 });
    }
    this.violations.push(`asks ${what}`);
    response.writeHead(405).end(error(405, "method_not_allowed"));
  }

  #mappings(): unknown {
    const { dynamic } = this;
    const mappings = { ...(dynamic && { dynamic }), _data_stream_timestamp: { enabled: true } };
    return Object.fromEntries(this.indices.map((_, at) => [nameOf(at), { mappings }]));
  }

  #search(body: Record<string, unknown>, url: URL): unknown {
    const query = body["query"] as {
      ids?: { values: string[] };
      range?: { "@timestamp": { gte: number; lt: number } };
    };
    const size = Number(body["size"] ?? 10);
    if (size > 10_000 || (query.ids?.values.length ?? 0) > 512)
      this.violations.push("searches too much at once");
    if (query.ids !== undefined) {
      const wanted = new Set(query.ids.values);
      return hits(this.#visible.filter((id) => wanted.has(id)).slice(0, size));
    }
    if (url.searchParams.get("scroll") === null || query.range === undefined)
      this.violations.push("lists without a scroll");
    const scroll = `scroll-${this.#scrolls.size}`;
    const { gte, lt } = query.range?.["@timestamp"] ?? { gte: 0, lt: 0 };
    const inRange = this.#visible.filter((id) => {
      const document = this.indices.findLast((index) => index.has(id))?.get(id);
      const ms = Date.parse(String(document?.["@timestamp"]));
      return ms >= gte && ms < lt;
    });
    this.#scrolls.set(scroll, inRange);
    return { ...this.#page(scroll, size) };
  }

  #page(scroll: string, size = 3): Record<string, unknown> {
    const rest = this.#scrolls.get(scroll);
    if (rest === undefined) this.violations.push("asks a scroll that is none");
    return { _scroll_id: scroll, ...hits(rest?.splice(0, Math.min(size, 3)) ?? []) };
  }

  #bulk(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    if (request.headers["content-type"] !== "application/x-ndjson")
      this.violations.push(`bulk with ${request.headers["content-type"]}`);
    const whole = this.whole.shift();
    if (whole !== undefined) return whole(response);
    if (body.length > this.maxBodyBytes)
      return void response.writeHead(413, { "content-type": "text/html" }).end("<html>too large");
    const pairs = this.#pairs(body.toString("utf8"));
    this.bulks.push(pairs.map(([id]) => id));
    if (!this.isThere) {
      const gone = pairs.map(([id]) =>
        itemOf(id, STREAM, { status: 404, type: "index_not_found_exception" }),
      );
      return void response.end(JSON.stringify({ took: 1, errors: true, items: gone }));
    }
    const items = pairs.map(([id, document], nth) => this.#store(id, document, nth));
    const errors = items.some(({ create }) => Number(create["status"]) >= 300);
    const answer = { took: 1, errors, items };
    response.end(JSON.stringify(this.spoil?.(answer) ?? answer));
  }

  #store(id: string, document: Record<string, unknown>, nth: number) {
    const index = this.indices.length - 1;
    const said = this.item?.(id, nth);
    if (said !== undefined) return itemOf(id, nameOf(index), said);
    const held = this.indices[index] ?? new Map<string, Record<string, unknown>>();
    if (held.has(id))
      return itemOf(id, nameOf(index), { status: 409, type: "version_conflict_engine_exception" });
    held.set(id, document);
    return itemOf(id, nameOf(index), { status: 201 });
  }

  /** Every action with its document; anything else is a violation. */
  #pairs(text: string): [id: string, document: Record<string, unknown>][] {
    if (!text.endsWith("\n")) this.violations.push("bulk without its last newline");
    const lines = text.slice(0, -1).split("\n");
    if (lines.length % 2 !== 0) this.violations.push("bulk with an odd number of lines");
    const pairs: [string, Record<string, unknown>][] = [];
    for (let at = 0; at + 1 < lines.length; at += 2) {
      const action = JSON.parse(lines[at] ?? "") as { create?: { _id?: unknown } };
      const id = action.create?.["_id"];
      if (
        typeof id !== "string" ||
        JSON.stringify(action) !== JSON.stringify({ create: { _id: id } })
      )
        this.violations.push("an action that is no create with an id");
      const document = JSON.parse(lines[at + 1] ?? "") as Record<string, unknown>;
      if (Number.isNaN(Date.parse(String(document["@timestamp"]))))
        this.violations.push("a document without @timestamp");
      pairs.push([String(id), document]);
    }
    if (pairs.length === 0) this.violations.push("an empty bulk");
    return pairs;
  }
}

const nameOf = (at: number): string =>
  `.ds-${STREAM}-2026.11.29-${String(at + 1).padStart(6, "0")}`;

function itemOf(id: string, index: string, { status, type, failureStore }: ItemAnswer) {
  const error = type === undefined ? {} : { error: { type } };
  const store = failureStore === undefined ? {} : { failure_store: failureStore };
  return {
    create: { _index: index, _id: id, status, ...error, ...store } as Record<string, unknown>,
  };
}

const hits = (ids: readonly string[]) => ({
  timed_out: false,
  _shards: { total: 1, successful: 1, skipped: 0, failed: 0 },
  hits: {
    total: { value: ids.length },
    ...(ids.length > 0 && { hits: ids.map((_id) => ({ _id })) }),
  },
});

const error = (status: number, type: string): string =>
  JSON.stringify({ error: { type, reason: "text with a secret-body" }, status });
