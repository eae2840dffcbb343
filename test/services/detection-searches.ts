// The shipped searches and Kibana's rules, run by an engine on the scene of the detections.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { ecsFormat } from "../../packages/processor/src/formats/ecs.ts";
import { detectionScene, FOUND_HUMANS, type SceneEvent } from "./detection-scene.ts";
import type { SearchEngine } from "./search-engine.ts";

const directory = join(import.meta.dirname, "..", "..", "deploy", "elastic", "detections");
const read = (file: string): string => readFileSync(join(directory, file), "utf8");

interface Bucket {
  readonly key: string;
  readonly doc_count: number;
  readonly [aggregation: string]: unknown;
}
interface Found {
  readonly hits: { readonly hits: readonly { readonly _id: string }[] };
  readonly aggregations?: Readonly<Record<string, unknown>>;
}
interface KibanaRule {
  readonly name: string;
  readonly type: "query" | "threshold" | "new_terms";
  readonly query: string;
  readonly from: string;
  readonly threshold?: {
    readonly field: readonly string[];
    readonly value: number;
    readonly cardinality: readonly { readonly field: string; readonly value: number }[];
  };
  readonly new_terms_fields?: readonly string[];
  readonly history_window_start?: string;
}

/** Indexes the scene into a data stream that has the shipped mapping, holds every search and rule to it, and says how many there were. */
export async function detectionsHold(
  engine: SearchEngine,
  stream: string,
): Promise<{ searches: number; rules: number }> {
  const scene = detectionScene(Date.now());
  const lines = scene.flatMap(({ event }) => [
    JSON.stringify({ create: { _id: event.event.id } }),
    Buffer.from(ecsFormat.line(event) ?? []).toString("utf8"),
  ]);
  const bulk = `${lines.join("\n")}\n`;
  const { body } = await engine.ask("POST", `/${stream}/_bulk?refresh=true`, bulk);
  expect(body).toMatchObject({ errors: false });
  const search = async (asked: unknown): Promise<Found> => {
    const answer = await engine.ask("POST", `/${stream}/_search`, asked);
    expect(answer).toMatchObject({ status: 200 });
    return answer.body as Found;
  };
  return {
    searches: await searchesHold(scene, search),
    rules: await kibanaHolds(scene, search),
  };
}

type Search = (asked: unknown) => Promise<Found>;

async function searchesHold(scene: readonly SceneEvent[], search: Search): Promise<number> {
  const files = readdirSync(directory).filter((file) => file.endsWith(".json"));
  for (const file of files) {
    const name = file.slice(0, -".json".length);
    const answer = await search(JSON.parse(read(file)));
    if (name in FOUND_HUMANS)
      expect({ [name]: humansIn(name, answer) }).toEqual({ [name]: FOUND_HUMANS[name] });
    else expect({ [name]: labelsOf(scene, answer) }).toEqual({ [name]: expectedOf(scene, name) });
  }
  return files.length;
}

/** Rules as Kibana's documentation says that it runs them; Kibana itself is in no package registry. */
async function kibanaHolds(scene: readonly SceneEvent[], search: Search): Promise<number> {
  const rules = read("kibana-rules.ndjson")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as KibanaRule);
  for (const rule of rules) {
    if (rule.type === "query") {
      const answer = await search({ size: 100, query: within(rule, rule.from) });
      const expected = expectedOf(scene, nameOf(rule));
      expect({ [rule.name]: labelsOf(scene, answer) }).toEqual({ [rule.name]: expected });
    } else {
      const found = await (rule.type === "threshold" ? overThreshold : newTerms)(rule, search);
      // Three fields at most make a term: its issuer is not among them.
      const known = (FOUND_HUMANS[nameOf(rule)] ?? []).map((one) =>
        rule.type === "threshold" ? one : one.slice(one.indexOf(" ") + 1),
      );
      expect({ [rule.name]: found.toSorted() }).toEqual({ [rule.name]: known.toSorted() });
    }
  }
  return rules.length;
}

/** The file of searches that asks the same. */
function nameOf({ query, threshold }: KibanaRule): string {
  const same = readdirSync(directory)
    .filter((file) => file.endsWith(".json") && read(file).includes(JSON.stringify(query)))
    .map((file) => file.slice(0, -".json".length));
  if (threshold === undefined) return same[0] ?? "";
  return threshold.cardinality.length === 0 ? "denied_burst" : "denied_many_resources";
}

function within({ query }: KibanaRule, from: string, until = "now"): object {
  const range = { range: { "@timestamp": { gte: from, lt: until } } };
  return { bool: { filter: [range, { query_string: { query } }] } };
}

async function overThreshold(rule: KibanaRule, search: Search): Promise<string[]> {
  const { field: fields, value, cardinality } = rule.threshold ?? fail();
  const [counted] = cardinality;
  const last = counted === undefined ? {} : { distinct: { cardinality: { field: counted.field } } };
  const aggs = nested(fields, value, last);
  const answer = await search({ size: 0, query: within(rule, rule.from), aggs });
  return pathsIn(answer.aggregations, fields.length, (bucket) => {
    const distinct = (bucket["distinct"] as { value: number } | undefined)?.value ?? 0;
    return counted === undefined || distinct >= counted.value;
  });
}

async function newTerms(rule: KibanaRule, search: Search): Promise<string[]> {
  const fields = rule.new_terms_fields ?? fail();
  const terms = async (from: string, until?: string): Promise<string[]> => {
    const query = within(rule, from, until);
    const answer = await search({ size: 0, query, aggs: nested(fields, 1, {}) });
    return pathsIn(answer.aggregations, fields.length, () => true);
  };
  const before = new Set(await terms(rule.history_window_start ?? fail(), rule.from));
  return (await terms(rule.from)).filter((term) => !before.has(term));
}

/** Terms in terms, the least count at the innermost. */
function nested(fields: readonly string[], least: number, inner: object): object {
  const [field, ...rest] = fields;
  if (field === undefined) return inner;
  const terms = { field, size: 1000, min_doc_count: rest.length === 0 ? least : 1 };
  return { terms: { terms, aggs: nested(rest, least, inner) } };
}

function pathsIn(
  aggregations: unknown,
  depth: number,
  holds: (bucket: Bucket) => boolean,
): string[] {
  const buckets = bucketsOf(aggregations, "terms");
  if (depth === 1) return buckets.filter(holds).map(({ key }) => key);
  return buckets.flatMap((bucket) =>
    pathsIn(bucket, depth - 1, holds).map((path) => `${bucket.key} ${path}`),
  );
}

function bucketsOf(aggregations: unknown, name: string): readonly Bucket[] {
  return (aggregations as Record<string, { buckets: readonly Bucket[] }>)[name]?.buckets ?? [];
}

/** Reads an answer as the guide says: who is over the number, and which tools nobody called before. */
function humansIn(name: string, { aggregations }: Found): string[] {
  const humans = bucketsOf(aggregations, "issuers").flatMap((issuer) =>
    bucketsOf(issuer, "humans").map((human) => ({ who: `${issuer.key} ${human.key}`, human })),
  );
  const found =
    name === "first_seen_tool"
      ? humans.flatMap(({ who, human }) => newToolsOf(human).map((tool) => `${who} ${tool}`))
      : humans
          .filter(({ human }) => name === "denied_burst" || valueOf(human["resources"]) >= 5)
          .map(({ who }) => who);
  return found.toSorted();
}

function newToolsOf(human: Bucket): string[] {
  return bucketsOf(human, "servers").flatMap((server) =>
    bucketsOf(server, "tools")
      .filter((tool) => (tool["before"] as Bucket).doc_count === 0)
      .map((tool) => `${server.key} ${tool.key}`),
  );
}

function valueOf(aggregation: unknown): number {
  return (aggregation as { value: number }).value;
}

function labelsOf(scene: readonly SceneEvent[], { hits }: Found): string[] {
  const labels = new Map(scene.map(({ event, label }) => [event.event.id, label]));
  return hits.hits.map(({ _id: id }) => labels.get(id) ?? id).toSorted();
}

function expectedOf(scene: readonly SceneEvent[], name: string): string[] {
  const labels = scene.filter(({ found }) => found.includes(name)).map(({ label }) => label);
  expect(labels).not.toEqual([]);
  return labels.toSorted();
}

function fail(): never {
  throw new Error("the rule lacks what its type needs");
}
