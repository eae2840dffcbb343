import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { readState } from "../../packages/console/src/web/page-state.ts";
import { findTool } from "./found-tool.ts";

const root = join(import.meta.dirname, "..", "..");
const file = join(root, "deploy", "jaeger", "config.yaml");
const jaeger = findTool("jaeger");

test.skipIf(jaeger === undefined)("Jaeger accepts its configuration", () => {
  const { status, stderr } = spawnSync(jaeger as string, ["validate", "--config", file], {
    encoding: "utf8",
    cwd: root,
  });
  expect(stderr).not.toMatch(/error/i);
  expect(status).toBe(0);
});

test.skipIf(jaeger === undefined)("and refuses a broken one, so the test above can fail", () => {
  const broken = [
    "validate",
    "--config",
    file,
    "--set",
    "service.extensions=[nothing_of_this_name]",
  ];
  expect(spawnSync(jaeger as string, broken, { encoding: "utf8", cwd: root }).status).not.toBe(0);
});

test("listens on loopback unless told otherwise", () => {
  const config = parse(readFileSync(file, "utf8")) as object;
  const endpoints = JSON.stringify(config).match(/"endpoint":"[^"]*"/g) ?? [];
  expect(endpoints).toHaveLength(4);
  for (const endpoint of endpoints) expect(endpoint).toContain("127.0.0.1");
});

test("links a span to its decision", () => {
  const ui = JSON.parse(readFileSync(join(root, "deploy", "jaeger", "ui.json"), "utf8")) as {
    linkPatterns: { type: string; key: string; url: string; text: string }[];
  };
  for (const { key, url, text } of ui.linkPatterns) {
    expect(url).toContain(`#{${key}}`);
    expect(text).toContain(`#{${key}}`);
  }
  expect(ui.linkPatterns.map(({ key }) => key)).toEqual(["countersign.event.id"]);
  const link = ui.linkPatterns[0]?.url.replace("#{countersign.event.id}", "an-event") ?? "";
  expect(readState(new URL(link).search).open).toBe("an-event");
});
