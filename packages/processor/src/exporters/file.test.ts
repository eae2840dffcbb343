import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Component, Consumer, Decisions, Queryable } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { FORMAT_NAMES } from "../formats/formats.ts";
import { newEvents, runtimeOf, scratch, SIGNAL } from "../testing/exporters.ts";
import { fileExporter } from "./file.ts";

test("a directory that takes no bytes is UNAVAILABLE, and nothing is lost when it does again", async () => {
  const directory = join(scratch(), "full");
  const config = { directory, format: "native", mode: "0600", max_file_size: "1KiB" };
  const exporter = fileExporter.create(
    config as never,
    runtimeOf("file/x"),
  ) as unknown as Component & Consumer<Decisions>;
  await exporter.start(SIGNAL);
  rmSync(directory, { recursive: true });
  const batch = newEvents(3);
  await expect(exporter.consume(batch, SIGNAL)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  mkdirSync(directory);
  await exporter.consume(batch, SIGNAL);
  const lines = readdirSync(directory).flatMap((file) =>
    readFileSync(join(directory, file), "utf8").trimEnd().split("\n"),
  );
  expect(lines).toHaveLength(3);
  await exporter.stop(SIGNAL);
});

type Queried = Component & Consumer<Decisions> & Required<Queryable>;

test.each(FORMAT_NAMES)("says what it has and what is missing, as %s", async (format) => {
  const directory = scratch();
  const config = { directory, format, mode: "0600", max_file_size: "2KiB" };
  const exporter = fileExporter.create(config as never, runtimeOf("file/x")) as unknown as Queried;
  await exporter.start(SIGNAL);
  const events = newEvents(9).events.map((event) => ({
    ...event,
    bytes: Buffer.from(Buffer.from(event.bytes).toString().replace("tickets", "a\u2028b\u0085c")),
  }));
  const there = events.filter((_, index) => index % 3 !== 0);
  await exporter.consume({ events: there }, SIGNAL);
  expect(await exporter.missing(events, SIGNAL)).toEqual([0, 3, 6]);
  // Their times are a millisecond apart.
  const fromMs = Date.parse(events[1]?.event.time ?? "");
  const untilMs = Date.parse(events[7]?.event.time ?? "");
  const held: string[] = [];
  for await (const id of exporter.held({ fromMs, untilMs }, SIGNAL)) held.push(id);
  expect(held).toEqual([1, 2, 4, 5].map((index) => events[index]?.event.id));
  await exporter.stop(SIGNAL);
  await expect(exporter.missing(events, SIGNAL)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("at `max_files` lines are refused, nothing is deleted, and it goes on when some are moved away", async () => {
  const directory = scratch();
  const config = { directory, format: "native", mode: "0600", max_file_size: "1KiB", max_files: 2 };
  const exporter = fileExporter.create(
    config as never,
    runtimeOf("file/x"),
  ) as unknown as Component & Consumer<Decisions>;
  await exporter.start(SIGNAL);
  await exporter.consume(newEvents(1), SIGNAL);
  await exporter.consume(newEvents(1), SIGNAL);
  const third = newEvents(1);
  await expect(exporter.consume(third, SIGNAL)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("holds 2 files, which is `max_files`") as string,
  });
  expect(readdirSync(directory)).toEqual(["x-00000001.jsonl", "x-00000002.jsonl"]);
  rmSync(join(directory, "x-00000001.jsonl"));
  await exporter.consume(third, SIGNAL);
  expect(readdirSync(directory)).toEqual(["x-00000002.jsonl", "x-00000003.jsonl"]);
  await exporter.stop(SIGNAL);
});
