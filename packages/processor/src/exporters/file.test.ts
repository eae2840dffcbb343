import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Component, Consumer, Decisions } from "@countersign/pipeline";
import { expect, test } from "vitest";
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
