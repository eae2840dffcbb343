import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");
const packages = readdirSync(join(root, "packages"));

function sourceFiles(): string[] {
  return packages.flatMap((name) =>
    readdirSync(join(root, "packages", name, "src"), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => `packages/${name}/src/${file}`),
  );
}

test("no source file is longer than 400 lines", () => {
  const long = sourceFiles()
    .map((file) => [file, readFileSync(join(root, file), "utf8").split("\n").length - 1] as const)
    .filter(([, lines]) => lines > 400);
  expect(long).toEqual([]);
});

test("no file is named for what it is not", () => {
  const vague = sourceFiles().filter((file) =>
    /\/(utils?|helpers?|types|manager|common|misc)\.ts$/.test(file),
  );
  expect(vague).toEqual([]);
});

/** Only `model/src/names.ts` may spell our four reserved names; everybody else imports them (contract, section 2). */
test("the names of the wire live in one file", () => {
  const strays = sourceFiles()
    .filter((file) => !file.endsWith(".test.ts") && !file.includes("/testing/"))
    .filter((file) => !file.startsWith("packages/model/src/"))
    .filter((file) =>
      readFileSync(join(root, file), "utf8")
        .split("\n")
        .some(
          (line) =>
            /["'`](dev\.countersign|urn:countersign|cs_)/.test(line) && !/^\s*(\*|\/\/)/.test(line),
        ),
    );
  expect(strays).toEqual([]);
});

/** Every symbol that a package exports by its entry carries a docstring where it is declared. */
test.each(packages)("%s: every public export has its docstring", (name) => {
  const source = join(root, "packages", name, "src");
  const entry = readFileSync(join(source, "index.ts"), "utf8");
  const missing: string[] = [];
  for (const match of entry.matchAll(/export\s+(?:type\s+)?\{([^}]+)\}\s+from\s+"(\.\/[^"]+)"/g)) {
    const file = join(source, match[2] as string);
    const text = readFileSync(file, "utf8");
    for (const item of (match[1] as string).split(",")) {
      const symbol = item
        .trim()
        .replace(/^type\s+/, "")
        .split(/\s+as\s+/)[0] as string;
      if (symbol === "" || symbol.startsWith("//")) continue;
      const declaration = new RegExp(
        `\\*/\\s*\\nexport (?:declare )?(?:abstract )?(?:async )?(?:const|function|function\\*|async function|class|interface|type|let) ${symbol}\\b`,
      );
      if (!declaration.test(text)) missing.push(`${match[2]}: ${symbol}`);
    }
  }
  expect(missing).toEqual([]);
});

test.each(packages)("%s has a README that explains it", (name) => {
  const file = join(root, "packages", name, "README.md");
  expect(existsSync(file), `${file} is missing`).toBe(true);
  expect(readFileSync(file, "utf8").length).toBeGreaterThan(600);
});
