import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
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

const DECLARED =
  "(?:declare )?(?:abstract )?(?:async )?(?:const|function\\*?|class|interface|type|let)";

/** The source file behind each code subpath of a package. */
function entries(name: string): string[] {
  const manifest = JSON.parse(
    readFileSync(join(root, "packages", name, "package.json"), "utf8"),
  ) as {
    exports: Record<string, string | Record<string, string>>;
  };
  return Object.values(manifest.exports)
    .flatMap((target) => (typeof target === "string" ? [] : (target["@countersign/source"] ?? [])))
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(root, "packages", name, file));
}

/** Names that an entry exports, and the file that declares each. */
function exportedBy(entry: string): (readonly [symbol: string, file: string])[] {
  const text = readFileSync(entry, "utf8");
  const passed = [
    ...text.matchAll(/export\s+(?:type\s+)?\{([^}]+)\}\s+from\s+"(\.[^"]+)"/g),
  ].flatMap(([, list = "", from = ""]) =>
    list
      .split(",")
      .map(
        (item) =>
          item
            .trim()
            .replace(/^type\s+/, "")
            .split(/\s+as\s+/)[0] ?? "",
      )
      .filter((symbol) => symbol !== "")
      .map((symbol) => [symbol, join(dirname(entry), from)] as const),
  );
  const own = [...text.matchAll(new RegExp(`^export ${DECLARED} (\\w+)`, "gm"))].map(
    ([, symbol = ""]) => [symbol, entry] as const,
  );
  return [...passed, ...own];
}

test.each(packages)("%s: every public export has its docstring", (name) => {
  const missing = entries(name)
    .flatMap(exportedBy)
    .filter(([symbol, file]) => {
      const documented = new RegExp(`\\*/\\s*\\nexport ${DECLARED} ${symbol}\\b`);
      return !documented.test(readFileSync(file, "utf8"));
    })
    .map(([symbol, file]) => `${file.slice(root.length + 1)}: ${symbol}`);
  expect(missing).toEqual([]);
});

test.each(packages)("%s has a README that explains it", (name) => {
  const file = join(root, "packages", name, "README.md");
  expect(existsSync(file), `${file} is missing`).toBe(true);
  expect(readFileSync(file, "utf8").length).toBeGreaterThan(600);
});
