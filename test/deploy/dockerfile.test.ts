import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findTool } from "./found-tool.ts";

const root = join(import.meta.dirname, "..", "..");
const file = join(root, "deploy", "Dockerfile");
const text = readFileSync(file, "utf8");
const stages = text.split(/^(?=FROM )/m).slice(1);
const hadolint = findTool("hadolint");

test.skipIf(hadolint === undefined)("hadolint has nothing to say", () => {
  const { status, stdout, stderr } = spawnSync(hadolint as string, [file], { encoding: "utf8" });
  expect(stdout + stderr).toBe("");
  expect(status).toBe(0);
});

test("every stage is the official Node image, in the version that the repository pins", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    devDependencies: { node: string };
    packageManager: string;
  };
  const version = manifest.devDependencies.node.replace("npm:node@", "");
  expect(stages.length).toBeGreaterThan(1);
  for (const stage of stages)
    expect(stage).toMatch(new RegExp(`^FROM node:${version}-bookworm-slim `));
  expect(text).toContain(manifest.packageManager);
});

test.each(stages.filter((stage) => !/ AS build$/m.test(stage)))(
  "%# runs as nobody special",
  (stage) => {
    expect(stage).toMatch(/^USER 1000:1000$/m);
    expect(stage.indexOf("USER")).toBeLessThan(stage.indexOf("ENTRYPOINT"));
  },
);

test("the service says how it is", () => {
  expect(stages.at(-1)).toContain("HEALTHCHECK");
});

test("the processor has a young generation of bounded size, as the bench measures it", () => {
  const rows = readFileSync(join(root, "test", "bench", "pipeline", "rows.ts"), "utf8");
  const [flag] = /--max-semi-space-size=\d+/.exec(stages.at(-1) ?? "") ?? [];
  expect(flag).toBeDefined();
  expect(rows).toContain(`BENCH_NODE_FLAGS: "${flag}"`);
});

test("no secret is built in", () => {
  expect(text).not.toMatch(/^(ARG|ENV)\b.*(TOKEN|SECRET|PASSWORD|KEY)/im);
});
