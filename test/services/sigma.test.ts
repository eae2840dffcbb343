// The shipped detections: the Sigma rules as sigma-cli understands them, what it makes of them against what is shipped, and the rules on true events.
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import type { SealedEvent } from "@countersign/model";
import { beforeAll, describe, expect, test } from "vitest";
import { detectionScene, FOUND_HUMANS } from "./detection-scene.ts";
import { findService } from "./find.ts";

const found = findService("sigma");
const sigma = found?.kind === "binary" ? found.path : undefined;
const root = join(import.meta.dirname, "..", "..");
const deploy = (...path: string[]): string => join(root, "deploy", ...path);
const run = promisify(execFile);

const names = readdirSync(deploy("sigma", "rules"))
  .map((file) => file.slice(0, -".yml".length))
  .toSorted();
const COUNTING = ["denied_burst", "denied_many_resources"];
const plain = names.filter((name) => !COUNTING.includes(name));

const pipeline = (name: string): readonly string[] => [
  "-p",
  deploy("sigma", "pipelines", `${name}.yml`),
];
const OPTIONS = {
  lucene: pipeline("ecs"),
  opensearch_lucene: pipeline("ecs"),
  esql: pipeline("ecs"),
  splunk: pipeline("splunk"),
  sqlite: ["--without-pipeline", "-O", "timestamp_field=time"],
} as const;

/** Of each rule its query, made in one run. */
async function converted(
  target: keyof typeof OPTIONS,
  rules: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const stdout = await convert(target, ...rules.map(fileOf));
  const queries = stdout.split("\n\n");
  expect(queries).toHaveLength(rules.length);
  return new Map(rules.map((name, at) => [name, queries[at] ?? ""]));
}

/** A rule that counts refers to another, which is looked for in the same folder and not among files. */
async function convertedCounting(target: keyof typeof OPTIONS, name: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-sigma-"));
  try {
    for (const rule of [name, "call_denied"]) cpSync(fileOf(rule), join(folder, `${rule}.yml`));
    return await convert(target, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function fileOf(rule: string): string {
  return deploy("sigma", "rules", `${rule}.yml`);
}

async function convert(target: keyof typeof OPTIONS, ...paths: string[]): Promise<string> {
  const { stdout } = await run(sigma ?? "", [
    "convert",
    "-t",
    target,
    ...OPTIONS[target],
    ...paths,
  ]);
  return stdout.trim();
}

function shippedSearch(name: string): {
  query: { bool: { filter: [unknown, { query_string: { query: string } }] } };
} {
  return JSON.parse(readFileSync(deploy("elastic", "detections", `${name}.json`), "utf8")) as never;
}

const lineQuery = (name: string): string =>
  shippedSearch(name).query.bool.filter[1].query_string.query;

interface KibanaRule {
  readonly name: string;
  readonly type: string;
  readonly query: string;
}

const kibana = readFileSync(deploy("elastic", "detections", "kibana-rules.ndjson"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as KibanaRule);

const titleOf = (name: string): string =>
  /^title: (.*)$/m.exec(readFileSync(fileOf(name), "utf8"))?.[1] ?? "";

/** Sections of a conf file as Splunk's own parser of add-ons reads them. */
async function confOf(file: string): Promise<Record<string, Record<string, string>>> {
  const python = join(dirname(realpathSync(sigma ?? "")), "python");
  const script = `import json,sys
from addonfactory_splunk_conf_parser_lib import TABConfigParser
p=TABConfigParser(); p.read(sys.argv[1]); print(json.dumps(p.item_dict()))`;
  const path = deploy("splunk", "countersign_detections", file);
  const { stdout } = await run(python, ["-c", script, path]);
  return JSON.parse(stdout) as never;
}

describe.skipIf(sigma === undefined)("Sigma", () => {
  test("the rules are valid, without a remark", async () => {
    const args = ["check", "--fail-on-error", "--fail-on-issues", deploy("sigma", "rules")];
    await expect(run(sigma ?? "", args)).resolves.toBeDefined();
  });

  test("the guide says of each what it means", () => {
    const guide = readFileSync(join(root, "docs", "guides", "detections.md"), "utf8");
    for (const name of [...names, "first_seen_tool"]) expect(guide).toContain(`\`${name}\``);
  });

  test("searches and Kibana's rules ask what the rules ask", async () => {
    const asked = new Map(kibana.map((rule) => [rule.name, rule]));
    const queries = await converted("lucene", plain);
    expect(await converted("opensearch_lucene", plain)).toEqual(queries);
    for (const [name, query] of queries) {
      for (const user of name === "call_denied" ? COUNTING : [name]) {
        expect(lineQuery(user)).toBe(query);
        expect(asked.get(`Countersign: ${titleOf(user)}`)?.query).toBe(query);
      }
    }
    expect(kibana.find(({ type }) => type === "new_terms")?.query).toBe(
      lineQuery("first_seen_tool"),
    );
    expect(kibana).toHaveLength(names.length);
  });

  test("Splunk's saved searches ask what the rules ask, of events once each", async () => {
    const searches = await confOf("default/savedsearches.conf");
    for (const [name, query] of await converted("splunk", plain)) {
      for (const user of name === "call_denied" ? COUNTING : [name])
        expect(searches[`Countersign - ${titleOf(user)}`]?.["search"]).toContain(
          `\`countersign_index\` ${query} | dedup event_hash | `,
        );
    }
    expect(Object.keys(searches)).toHaveLength(names.length);
    for (const search of Object.values(searches)) expect(search["disabled"]).toBe("1");
  });

  test.each(COUNTING)("%s counts to the same number everywhere", async (name) => {
    const [, least] = /gte: (\d+)/.exec(readFileSync(fileOf(name), "utf8")) ?? [];
    expect(Number(least)).toBeGreaterThan(1);
    const title = titleOf(name);
    const searches = await confOf("default/savedsearches.conf");
    expect(searches[`Countersign - ${title}`]?.["search"]).toMatch(
      new RegExp(`\\| where \\w+ >= ${least}$`),
    );
    expect(JSON.stringify(shippedSearch(name))).toContain(`"min_doc_count":${least}`);
    const rule = kibana.find((one) => one.name === `Countersign: ${title}`);
    expect(JSON.stringify(rule)).toContain(`"value":${least}`);
  });

  test("what they stand on in Splunk: the source type, the macro, the alias", async () => {
    const props = await confOf("default/props.conf");
    expect(props["countersign:native"]).toMatchObject({ KV_MODE: "json", TRUNCATE: "65536" });
    expect(props["countersign:native"]?.["FIELDALIAS-countersign_resource_id"]).toBe(
      '"data.checks{}.resource.id" AS resource_id',
    );
    expect(await confOf("default/macros.conf")).toHaveProperty("countersign_index.definition");
    expect(await confOf("default/app.conf")).toHaveProperty("package.id", "countersign_detections");
  });

  test.each(COUNTING)("%s becomes ES|QL and SPL", async (name) => {
    const esql = await convertedCounting("esql", name);
    expect(esql).toContain("by timebucket, user.domain, user.id");
    const spl = await convertedCounting("splunk", name);
    expect(spl).toContain("by _time data.human.issuer data.human.subject");
  });
});

describe.skipIf(sigma === undefined)("the rules on sealed events", () => {
  const scene = detectionScene(Date.now());
  let database: DatabaseSync;
  const queries = new Map<string, string>();
  beforeAll(async () => {
    if (sigma === undefined) return;
    database = tableOf(scene.map(({ event }) => event));
    for (const [name, query] of await converted("sqlite", plain)) queries.set(name, query);
    for (const name of COUNTING) queries.set(name, await convertedCounting("sqlite", name));
  });

  const rows = (name: string): Record<string, unknown>[] =>
    database.prepare(queries.get(name) ?? "").all();

  test.each(plain)("%s finds its events and no others", (name) => {
    const ids = rows(name).map(({ id }) => id);
    const labels = scene
      .filter(({ event }) => ids.includes(event.event.id))
      .map(({ label }) => label);
    const expected = scene.filter((one) => one.found.includes(name)).map(({ label }) => label);
    expect(expected.length).toBeGreaterThan(0);
    expect(labels).toEqual(expected);
  });

  test.each(COUNTING)("%s finds its humans and no others", (name) => {
    const humans = rows(name).map(({ group_keys: keys }) => {
      const of = JSON.parse(String(keys)) as Record<string, string>;
      return `${of["data.human.issuer"]} ${of["data.human.subject"]}`;
    });
    expect([...new Set(humans)].toSorted()).toEqual(FOUND_HUMANS[name]);
  });
});

/** One row an event, one column a member, as a log database has them. */
function tableOf(events: readonly SealedEvent[]): DatabaseSync {
  const rows = events.map(({ event }) => new Map(flat(event, "")));
  const columns = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  const database = new DatabaseSync(":memory:");
  database.exec(
    `CREATE TABLE logs (${columns.map((column) => `\`${column}\` COLLATE NOCASE`).join(", ")})`,
  );
  const insert = database.prepare(`INSERT INTO logs VALUES (${columns.map(() => "?").join(", ")})`);
  for (const row of rows) insert.run(...columns.map((column) => row.get(column) ?? null));
  return database;
}

/** Of a list, the first of its members. */
function flat(value: unknown, path: string): [string, string | number][] {
  if (Array.isArray(value)) return flat(value[0], path);
  if (typeof value === "object" && value !== null)
    return Object.entries(value).flatMap(([key, member]) =>
      flat(member, path === "" ? key : `${path}.${key}`),
    );
  return [[path, typeof value === "number" ? value : String(value)]];
}
