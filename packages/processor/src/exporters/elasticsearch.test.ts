// The exporter against a data stream that forgives nothing. The real engines are in test/services/{opensearch,elasticsearch}.test.ts.
import { canonicalBytes, type SealedEvent, unseal } from "@countersign/model";
import { expect, test } from "vitest";
import { failure, origin, tried } from "../testing/elasticsearch-exporter.ts";
import { newEvents, SIGNAL } from "../testing/exporters.ts";
import {
  type FakeElasticsearch,
  fakeElasticsearch,
  type ItemAnswer,
  STREAM,
  type WholeAnswer,
} from "../testing/fake-elasticsearch.ts";
import { documentId } from "./elasticsearch/documents.ts";

test("a document is the format's line with the event's time before it, under its id and hash", async () => {
  const { fake, exporter } = await tried();
  const batch = newEvents(3);
  await exporter.consume(batch, SIGNAL);
  expect([...(fake.indices[0]?.keys() ?? [])]).toEqual(batch.events.map(documentId));
  for (const sealed of batch.events) {
    const { event, bytes } = sealed;
    const { "@timestamp": time, ...rest } = fake.indices[0]?.get(documentId(sealed)) ?? {};
    expect(time).toBe(event.time);
    expect(rest).toEqual(JSON.parse(Buffer.from(bytes).toString()));
  }
});

test("who is first to use the id of another event does not keep that one out", async () => {
  const { fake, exporter, figure } = await tried();
  const [own] = newEvents(1).events as [SealedEvent];
  const [other] = newEvents(1).events as [SealedEvent];
  const forged = unseal(canonicalBytes({ ...other.event, id: own.event.id }));
  await exporter.consume({ events: [forged, own, own] }, SIGNAL);
  expect(fake.count).toBe(2);
  expect(figure("exporter_duplicate_log_records")).toBe(1);
  const listed: string[] = [];
  for await (const id of exporter.held({ fromMs: 0, untilMs: 1e14 }, SIGNAL)) listed.push(id);
  expect(listed).toEqual([own.event.id, own.event.id]);
});

test("a question that is refused for its size costs no event", async () => {
  const { fake, exporter, states } = await tried();
  const batch = newEvents(2);
  const { route } = fake;
  fake.route = (what) => (what.endsWith("/_search") ? 413 : undefined);
  expect((await failure(exporter, batch)).code).toBe("UNAVAILABLE");
  expect(states.at(-1)?.state).toBe("failed");
  fake.route = route;
  await exporter.consume(batch, SIGNAL);
  expect(fake.count).toBe(2);
});

test.each([
  [{ api_key: "abc" }, "ApiKey abc"],
  [{ bearer_token: "abc" }, "Bearer abc"],
  [
    { basic: { username: "u", password: "p:ä" } },
    `Basic ${Buffer.from("u:p:ä").toString("base64")}`,
  ],
])("%o", async (more, authorization) => {
  const fake = await fakeElasticsearch();
  fake.authorization = authorization;
  const { exporter } = await tried(more, fake);
  await exporter.consume(newEvents(1), SIGNAL);
  expect(fake.count).toBe(1);
});

test("what is there already is done, and counted", async () => {
  const { fake, exporter, figure } = await tried({ deduplicate: "never" });
  const batch = newEvents(4);
  await exporter.consume({ events: batch.events.slice(0, 2) }, SIGNAL);
  await exporter.consume(batch, SIGNAL);
  expect(fake.count).toBe(4);
  expect(figure("exporter_duplicate_log_records")).toBe(2);
});

test("requests are bounded in events and in bytes", async () => {
  const { fake, exporter } = await tried({ max_events: 7 });
  await exporter.consume(newEvents(20), SIGNAL);
  expect(fake.bulks.map(({ length }) => length)).toEqual([7, 7, 6]);
  const small = await tried({ max_body: "256KiB" });
  await small.exporter.consume(newEvents(1000), SIGNAL);
  expect(small.fake.count).toBe(1000);
  expect(small.fake.bulks.length).toBeGreaterThan(1);
});

test("413 halves; an event that is too large alone is refused, its neighbours arrive", async () => {
  const { fake, exporter } = await tried();
  const batch = newEvents(8);
  const lengths = batch.events.map(({ bytes }) => bytes.length);
  const large = batch.events[5] as SealedEvent;
  const events = batch.events.with(5, { ...large, bytes: padded(large.bytes, 40_000) });
  fake.maxBodyBytes = Math.max(...lengths) * 2;
  expect(await failure(exporter, { events })).toMatchObject({
    code: "REJECTED",
    failed: [5],
    reasons: ["too_large"],
  });
  expect(fake.count).toBe(7);
});

const padded = (bytes: Uint8Array, length: number): Uint8Array =>
  Buffer.concat([bytes.subarray(0, -1), Buffer.from(`,"pad":"${"x".repeat(length)}"}`)]);

/** What one item of four is answered, and what the exporter makes of it. */
const ITEMS: readonly [ItemAnswer, code: string, state: string | undefined, reason?: string][] = [
  [
    { status: 400, type: "document_parsing_exception" },
    "REJECTED",
    "ok",
    "document_parsing_exception",
  ],
  [{ status: 400, type: "Evil <b>text" }, "REJECTED", "ok", "refused_400"],
  [{ status: 400 }, "REJECTED", "ok", "refused_400"],
  [{ status: 400, type: "x".repeat(65) }, "REJECTED", "ok", "refused_400"],
  [{ status: 201, failureStore: "used" }, "REJECTED", "ok", "failure_store"],
  [{ status: 429, type: "es_rejected_execution_exception" }, "OVERLOADED", "degraded"],
  [{ status: 429, type: "cluster_block_exception" }, "OVERLOADED", "degraded"],
  [{ status: 503, type: "unavailable_shards_exception" }, "UNAVAILABLE", "degraded"],
  [{ status: 500, type: "null_pointer_exception" }, "UNAVAILABLE", "degraded"],
  [{ status: 409, type: "something_else" }, "UNAVAILABLE", "degraded"],
  [{ status: 403, type: "security_exception" }, "UNAVAILABLE", "failed"],
  [{ status: 403, type: "cluster_block_exception" }, "UNAVAILABLE", "failed"],
  [{ status: 404, type: "index_not_found_exception" }, "UNAVAILABLE", "failed"],
];

test.each(ITEMS)("an item %o is %s", async (answer, code, state, reason) => {
  const { fake, exporter, states } = await tried();
  const batch = newEvents(4);
  fake.item = (_id, nth) => (nth === 2 ? answer : undefined);
  expect(await failure(exporter, batch)).toMatchObject({
    code,
    failed: [2],
    ...(reason === undefined ? {} : { reasons: [reason] }),
  });
  expect(states.at(-1)?.state).toBe(state);
  expect(fake.count).toBe(3);
  if (code === "REJECTED") return;
  fake.item = undefined;
  await exporter.consume({ events: [batch.events[2] as SealedEvent] }, SIGNAL);
  expect(fake.count).toBe(4);
  expect(states.at(-1)?.state).toBe("ok");
});

test("for now wins over for good; what is refused is not sent again with it", async () => {
  const { fake, exporter, figure, said } = await tried();
  const batch = newEvents(3);
  const answers: readonly (ItemAnswer | undefined)[] = [
    { status: 201, failureStore: "used" },
    { status: 429 },
    undefined,
  ];
  fake.item = (_id, nth) => answers[nth];
  const first = await failure(exporter, batch);
  expect(first).toMatchObject({ code: "OVERLOADED", failed: [0, 1] });
  fake.item = undefined;
  const rest = { events: batch.events.slice(0, 2) };
  expect(await failure(exporter, rest)).toMatchObject({
    code: "REJECTED",
    failed: [0],
    reasons: ["failure_store"],
  });
  expect(fake.bulks.map(({ length }) => length)).toEqual([3, 1]);
  expect(figure("exporter_failure_store_log_records")).toBe(1);
  expect(said.join()).toContain("the failure store has them");
});

const status =
  (code: number, headers: Record<string, string> = {}, body = "<html>secret"): WholeAnswer =>
  (response) =>
    void response.writeHead(code, headers).end(body);

const WHOLES: readonly [string, WholeAnswer, object, state: string][] = [
  [
    "429",
    status(429, { "retry-after": "7" }),
    { code: "OVERLOADED", retryAfterMs: 7000 },
    "degraded",
  ],
  ["502", status(502), { code: "UNAVAILABLE" }, "degraded"],
  [
    "503",
    status(503, { "retry-after": "2" }),
    { code: "OVERLOADED", retryAfterMs: 2000 },
    "degraded",
  ],
  ["504", status(504), { code: "UNAVAILABLE" }, "degraded"],
  ["401", status(401), { code: "UNAVAILABLE" }, "failed"],
  ["403", status(403), { code: "UNAVAILABLE" }, "failed"],
  ["400", status(400), { code: "UNAVAILABLE" }, "failed"],
  ["404", status(404), { code: "UNAVAILABLE" }, "failed"],
  ["302", status(302, { location: "/login" }), { code: "UNAVAILABLE" }, "failed"],
  ["a login page", status(200), { code: "UNAVAILABLE" }, "failed"],
  ["an empty 200", status(200, {}, ""), { code: "UNAVAILABLE" }, "failed"],
  ["another 200", status(200, {}, '{"took":1}'), { code: "UNAVAILABLE" }, "degraded"],
  [
    "half an answer",
    (response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write('{"errors":false,"items":[');
      setTimeout(() => response.destroy(), 10);
    },
    { code: "UNAVAILABLE" },
    "degraded",
  ],
  ["no answer", (response) => void response.destroy(), { code: "UNAVAILABLE" }, "degraded"],
];

test.each(WHOLES)(
  "%s: nothing is skipped, and it goes on by itself",
  async (name, answer, error, state) => {
    const { fake, exporter, states } = await tried();
    const batch = { ...newEvents(3), origin: origin(0, 3) };
    // A connection that ends without an answer is tried once more by itself.
    fake.whole.push(...Array.from({ length: name === "no answer" ? 4 : 2 }, () => answer));
    const thrown = await failure(exporter, batch);
    expect(thrown).toMatchObject({ ...error, failed: [0, 1, 2] });
    expect(states.at(-1)?.state).toBe(state);
    await failure(exporter, batch);
    await exporter.consume(batch, SIGNAL);
    expect(fake.count).toBe(3);
    expect(states.at(-1)?.state).toBe("ok");
  },
);

type Answer = Parameters<NonNullable<FakeElasticsearch["spoil"]>>[0];
const SPOILED: readonly [string, (answer: Answer) => unknown][] = [
  ["an item is missing", (answer) => ({ ...answer, items: answer.items.slice(1) })],
  ["the last item is missing", (answer) => ({ ...answer, items: answer.items.slice(0, -1) })],
  ["an item too many", (answer) => ({ ...answer, items: [...answer.items, answer.items[0]] })],
  ["no items", ({ errors }) => ({ errors })],
  ["other items", (answer) => ({ ...answer, items: answer.items.toReversed() })],
  [
    "items of another action",
    (answer) => ({ ...answer, items: answer.items.map(({ create }) => ({ index: create })) }),
  ],
  ["no errors member", ({ items }) => ({ items })],
  [
    "a contradiction",
    ({ items: [first, ...rest] }) => ({
      errors: false,
      items: [{ create: { ...first?.create, status: 500 } }, ...rest],
    }),
  ],
  [
    "a status as text",
    ({ items: [first, ...rest] }) => ({
      errors: true,
      items: [{ create: { ...first?.create, status: "201" } }, ...rest],
    }),
  ],
  ["null for an item", ({ items: [, ...rest] }) => ({ errors: true, items: [null, ...rest] })],
];

test.each(SPOILED)("an answer is not trusted: %s", async (_name, spoil) => {
  const { fake, exporter, figure } = await tried();
  const batch = newEvents(3);
  fake.spoil = spoil;
  const error = await failure(exporter, batch);
  expect(error).toMatchObject({ code: "UNAVAILABLE", failed: [0, 1, 2] });
  fake.spoil = undefined;
  // What it stored all the same is found, not stored twice.
  fake.rollover();
  await exporter.consume(batch, SIGNAL);
  expect(fake.count).toBe(3);
  expect(figure("exporter_duplicate_log_records")).toBe(3);
});

test("a plain index of that name is seen by its answers, and nothing is taken for delivered", async () => {
  const { fake, exporter, states } = await tried();
  fake.spoil = ({ errors, items }) => ({
    errors,
    items: items.map(({ create }) => ({ create: { ...create, _index: STREAM } })),
  });
  expect(await failure(exporter, newEvents(2))).toMatchObject({ code: "UNAVAILABLE" });
  expect(states.at(-1)).toMatchObject({ state: "failed" });
  expect(states.at(-1)?.detail).toContain("is no data stream; apply the template");
});

test("a data stream that is not there halts, says what to do, and is found when it is made", async () => {
  const fake = await fakeElasticsearch();
  fake.isThere = false;
  const { exporter, states } = await tried({}, fake);
  expect(states.at(-1)?.state).toBe("failed");
  expect(states.at(-1)?.detail).toContain("docs/guides/elastic.md");
  await failure(exporter, newEvents(1));
  expect(fake.bulks).toEqual([]);
  fake.isThere = true;
  await exporter.consume(newEvents(1), SIGNAL);
  expect(fake.count).toBe(1);
  // Deleted while it runs.
  fake.isThere = false;
  await failure(exporter, newEvents(1));
  await failure(exporter, newEvents(1));
  expect(fake.bulks).toHaveLength(2);
});

test("a stream that maps what it does not know is warned of once", async () => {
  const fake = await fakeElasticsearch();
  fake.dynamic = undefined;
  const { exporter, said } = await tried({}, fake);
  await exporter.consume(newEvents(1), SIGNAL);
  expect(said).toEqual([expect.stringContaining("makes a field of every member")]);
});
