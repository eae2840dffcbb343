import { join } from "node:path";
import type { Component, Consumer, Decisions } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { sealedEvents } from "../testing/events.ts";
import { runtimeOf, scratch, SIGNAL } from "../testing/exporters.ts";
import { archiveExporter, archiveOf } from "./archive.ts";

test("a fork is REJECTED by its index, the first stays; duplicates are taken", async () => {
  const exporter = archiveExporter.create(
    { directory: join(scratch(), "a"), origin: "test.example/a" } as never,
    runtimeOf("archive"),
  ) as unknown as Component & Consumer<Decisions>;
  await exporter.start(SIGNAL);
  const first = { events: sealedEvents(2) };
  const other = { events: sealedEvents(2) };
  await exporter.consume(first, SIGNAL);
  await exporter.consume(first, SIGNAL);
  await expect(exporter.consume(other, SIGNAL)).rejects.toMatchObject({
    code: "REJECTED",
    failed: [0, 1],
  });
  // Who reads the log learns of it, once.
  await expect(exporter.consume(other, SIGNAL)).rejects.toMatchObject({ code: "REJECTED" });
  const found = await archiveOf(exporter)?.log.read(2n, 10);
  expect(found?.map(({ event }) => event.event.data)).toEqual(
    [0, 1].map((at) => ({
      tenant: "acme",
      finding: "FORK",
      of: expect.objectContaining({ seq: at, hash: other.events[at]?.hash }) as object,
      expected: first.events[at]?.hash,
    })),
  );
  await exporter.stop(SIGNAL);
});

test("what has no place in a chain does not keep the rest out", async () => {
  const exporter = archiveExporter.create(
    { directory: join(scratch(), "a"), origin: "test.example/a" } as never,
    runtimeOf("archive"),
  ) as unknown as Component & Consumer<Decisions>;
  await exporter.start(SIGNAL);
  const [good, bad] = sealedEvents(2) as [Decisions["events"][number], Decisions["events"][number]];
  const { chain: _chain, ...data } = bad.event.data as { chain: object };
  const placeless = {
    ...bad,
    bytes: bad.bytes,
    event: { ...bad.event, data },
  } as unknown as typeof bad;
  await expect(exporter.consume({ events: [placeless, good] }, SIGNAL)).rejects.toMatchObject({
    code: "REJECTED",
    failed: [0],
  });
  expect(archiveOf(exporter)?.log.size).toBe(1n);
  await exporter.stop(SIGNAL);
});
