// What the exporter asks the data stream for, and when.
import { expect, test } from "vitest";
import { CONFIG, failure, ids, origin, tried } from "../testing/elasticsearch-exporter.ts";
import { newEvents, SIGNAL } from "../testing/exporters.ts";
import { STREAM } from "../testing/fake-elasticsearch.ts";
import { checkSettings } from "./elasticsearch/settings.ts";

test("after a start what may have been sent is asked for first, also behind a rollover; then no more", async () => {
  const first = await tried();
  const { fake } = first;
  const batch = { ...newEvents(5), origin: origin(100, 5) };
  await first.exporter.consume(batch, SIGNAL);
  fake.rollover();
  // The position was not stored: another process reads the same and more.
  const second = await tried({}, fake);
  const more = newEvents(5);
  const before = fake.asked.length;
  await second.exporter.consume(
    { events: [...batch.events, ...more.events], origin: origin(100, 10) },
    SIGNAL,
  );
  expect(fake.count).toBe(10);
  expect(second.figure("exporter_duplicate_log_records")).toBe(5);
  expect(fake.asked.slice(before)).toEqual([
    `POST /${STREAM}/_refresh`,
    `POST /${STREAM}/_search`,
    `POST /${STREAM}/_bulk`,
  ]);
  const after = fake.asked.length;
  await second.exporter.consume({ ...newEvents(5), origin: origin(110, 5) }, SIGNAL);
  await second.exporter.consume({ ...newEvents(5), origin: origin(115, 5) }, SIGNAL);
  expect(fake.asked.slice(after)).toEqual([`POST /${STREAM}/_bulk`, `POST /${STREAM}/_bulk`]);
  // A partition that was somebody else's in between.
  await second.exporter.consume({ ...newEvents(5), origin: origin(300, 5) }, SIGNAL);
  expect(fake.asked.at(-2)).toBe(`POST /${STREAM}/_search`);
});

test("a refusal for now is no doubt: what the destination said it has not is not asked for", async () => {
  const { fake, exporter } = await tried();
  await exporter.consume({ ...newEvents(2), origin: origin(0, 2) }, SIGNAL);
  const batch = { ...newEvents(2), origin: origin(2, 2) };
  fake.item = () => ({ status: 429 });
  await failure(exporter, batch);
  const before = fake.asked.length;
  fake.item = undefined;
  await exporter.consume(batch, SIGNAL);
  expect(fake.asked.slice(before)).toEqual([`POST /${STREAM}/_bulk`]);
});

test("missing names what is not there, in whichever backing index; not what has no place in the format", async () => {
  const { fake, exporter } = await tried();
  const [one, two, three] = [newEvents(2), newEvents(2), newEvents(2)];
  await exporter.consume(one, SIGNAL);
  fake.rollover();
  await exporter.consume(two, SIGNAL);
  const events = [one, three, two].flatMap((batch) => batch.events);
  expect(await exporter.missing(events, SIGNAL)).toEqual([2, 3]);
  const ocsf = await tried({ format: "ocsf" }, fake);
  const spoiled = three.events.map((event) => ({
    ...event,
    bytes: event.bytes,
    event: { ...event.event, time: "never" },
  }));
  expect(await ocsf.exporter.missing(spoiled, SIGNAL)).toEqual([]);
});

test("held lists ids of a time range page by page; twice what is there twice", async () => {
  const { fake, exporter } = await tried({ deduplicate: "never" });
  const batch = newEvents(7);
  await exporter.consume(batch, SIGNAL);
  fake.rollover();
  await exporter.consume({ events: batch.events.slice(0, 1) }, SIGNAL);
  const times = batch.events.map(({ event }) => Date.parse(event.time));
  const range = { fromMs: Math.min(...times), untilMs: Math.max(...times) + 1 };
  const listed: string[] = [];
  for await (const id of exporter.held(range, SIGNAL)) listed.push(id);
  expect(listed.toSorted()).toEqual([...ids(batch), batch.events[0]?.event.id].toSorted());
  const none: string[] = [];
  for await (const id of exporter.held({ fromMs: 0, untilMs: range.fromMs }, SIGNAL)) none.push(id);
  expect(none).toEqual([]);
  // A page is enough for somebody: the place is given up.
  for await (const id of exporter.held(range, SIGNAL)) {
    expect(id).toBeDefined();
    break;
  }
  expect(fake.asked.at(-1)).toBe("DELETE /_search/scroll");
});

test.each([
  [{ api_key: "a", bearer_token: "b" }, "bearer_token"],
  [{ basic: { username: "u", password: "p" }, api_key: "a" }, "basic"],
  [{ max_body: "1KiB" }, "max_body"],
  [{ max_body: "1GiB" }, "max_body"],
])("settings that make no sense: %o", (more, at) => {
  const faults = checkSettings({ ...CONFIG, endpoint: "https://a.example", ...more });
  expect(faults.map(({ path }) => path[0])).toEqual([at]);
});
