// What the README says about senders and figures is what there is.
import { execFileSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readTokens } from "./credentials.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const readme = readFileSync(join(import.meta.dirname, "..", "README.md"), "utf8");

test("every figure has its name in the table", () => {
  const table = readme.slice(
    readme.indexOf("## What it says of itself"),
    readme.indexOf("**Its own traces**"),
  );
  const sources = globSync("packages/{pipeline,processor}/src/**/*.ts", { cwd: root })
    .filter((file) => !/\.test\.ts$|\/testing\//.test(file))
    .map((file) => readFileSync(join(root, file), "utf8"));
  const names = sources.flatMap((source) =>
    [...source.matchAll(/\.(counter|gauge)\(\s*"([a-z_]+)"/g)].map(
      ([, kind, name]) => `${name}${kind === "counter" ? "_total" : ""}`,
    ),
  );
  expect(names.length).toBeGreaterThan(20);
  for (const name of names) expect(table).toContain(`\`${name}\``);
});

test("the command makes a token and a hash that belong together", () => {
  const command = /^node -e '(const c=.*)'$/m.exec(readme)?.[1] ?? "";
  const [token = "", sha256 = ""] = execFileSync(process.execPath, ["-e", command], {
    encoding: "utf8",
  }).split("\n");
  expect(Buffer.from(token, "base64url")).toHaveLength(32);
  const tokens = readTokens(
    JSON.stringify({ tokens: [{ sha256, tenant: "acme", emitter: "*" }] }),
    "tokens",
  );
  expect(tokens.find(token)).toEqual({ tenant: "acme", emitter: "*" });
  const hash = /^node -e '(process\.stdin.*)' < token$/m.exec(readme)?.[1] ?? "";
  expect(execFileSync(process.execPath, ["-e", hash], { input: token, encoding: "utf8" })).toBe(
    sha256,
  );
});

test("the file of tokens in it is one", () => {
  const file = /^```json\n(\{ "tokens".*\})$/m.exec(readme)?.[1] ?? "";
  expect(readTokens(file, "tokens").find("test")).toEqual({ tenant: "acme", emitter: "tickets-*" });
});
