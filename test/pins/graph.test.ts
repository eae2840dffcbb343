import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");

/**
 * Who may import whom (DESIGN: layout). A red line here means: a border moved. Make that deliberate, in an ADR.
 * `model, identity, client` and `model, identity, journal, gate, server` run in other people's processes.
 */
const GRAPH: Record<string, readonly string[]> = {
  model: [],
  identity: ["model"],
  client: ["identity", "model"],
  journal: ["model"],
  gate: ["identity", "journal", "model"],
  server: ["gate", "identity", "journal", "model"],
  pipeline: ["model"],
  archive: ["journal", "model"],
  console: ["archive", "model"],
  processor: ["archive", "console", "journal", "model", "pipeline"],
  cli: ["gate", "identity", "journal", "model", "processor", "server"],
};

/** What a process that embeds us may load, beside our own packages. Nothing native, nothing of the service half. */
const EMBEDDED: Record<string, readonly string[]> = {
  model: ["yaml"],
  identity: ["jose", "oauth4webapi"],
  journal: [],
  gate: ["@authzed/authzed-node", "@grpc/grpc-js"],
  client: [
    "@opentelemetry/exporter-trace-otlp-http",
    "@opentelemetry/instrumentation",
    "@opentelemetry/sdk-node",
    "@opentelemetry/semantic-conventions",
  ],
  server: [
    "@opentelemetry/exporter-trace-otlp-http",
    "@opentelemetry/instrumentation",
    "@opentelemetry/sdk-node",
    "@opentelemetry/semantic-conventions",
  ],
};

interface Manifest {
  name: string;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
}

function manifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(root, directory, "package.json"), "utf8")) as Manifest;
}

function sources(directory: string): string[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.includes("node_modules"))
    .map((file) => join(root, directory, file));
}

function importsOf(text: string): string[] {
  const found = text.matchAll(/(?:from|import)\s*\(?\s*["'](@countersign\/[a-z]+)/g);
  return [...found].map((match) => (match[1] as string).slice("@countersign/".length));
}

const packages = readdirSync(join(root, "packages")).toSorted();

test("the packages are the ones that the layout names", () => {
  expect(packages).toEqual(Object.keys(GRAPH).toSorted());
});

test.each(packages)("%s imports only what the graph allows", (name) => {
  const allowed = new Set([name, ...(GRAPH[name] ?? [])]);
  const strays = sources(`packages/${name}/src`)
    .filter((file) => !file.endsWith(".test.ts") && !file.includes("/testing/"))
    .flatMap((file) =>
      importsOf(readFileSync(file, "utf8"))
        .filter((imported) => !allowed.has(imported))
        .map((imported) => `${file.slice(root.length + 1)} -> ${imported}`),
    );
  expect(strays).toEqual([]);
});

test.each(packages)("%s declares exactly the workspace packages of the graph", (name) => {
  const declared = Object.keys(manifest(`packages/${name}`).dependencies ?? {})
    .filter((dependency) => dependency.startsWith("@countersign/"))
    .map((dependency) => dependency.slice("@countersign/".length));
  expect(declared.toSorted()).toEqual(GRAPH[name]);
});

test.each(Object.keys(EMBEDDED))("%s brings only known code into another's process", (name) => {
  const foreign = Object.keys(manifest(`packages/${name}`).dependencies ?? {}).filter(
    (dependency) => !dependency.startsWith("@countersign/"),
  );
  expect(foreign.toSorted()).toEqual(EMBEDDED[name]);
});

test("every dependency is pinned to one version", () => {
  const directories = [".", "test", "deploy/demo", ...packages.map((name) => `packages/${name}`)];
  const loose = directories.flatMap((directory) => {
    const { dependencies = {}, devDependencies = {} } = manifest(directory);
    return Object.entries({ ...dependencies, ...devDependencies })
      .filter(
        ([, version]) => !/^(\d+\.\d+\.\d+|workspace:\*|npm:node@\d+\.\d+\.\d+)$/.test(version),
      )
      .map(([dependency, version]) => `${directory}: ${dependency}@${version}`);
  });
  expect(loose).toEqual([]);
});

test("lockfile names no download host", () => {
  expect(readFileSync(join(root, "pnpm-lock.yaml"), "utf8")).not.toMatch(/https?:\/\//);
});

// An older Node lacks `registerHooks`; imported by name, it would end the process with a syntax error instead of one sentence.
test.each([
  ["server", ["activate.ts", "sdk-hook.ts"]],
  ["client", ["register.ts"]],
])("register of %s can tell an old Node that it is old", (name, files) => {
  for (const file of files) {
    const text = readFileSync(join(root, "packages", name, "src", file), "utf8");
    expect(text).toContain('import * as nodeModule from "node:module"');
    expect(text).not.toMatch(/import\s*\{[^}]*registerHooks/);
  }
});

test("register of client imports nothing else before it knows", () => {
  expect(staticImports("client", "register.ts")).toEqual(["node:module"]);
});

function staticImports(name: string, file: string): string[] {
  const text = readFileSync(join(root, "packages", name, "src", file), "utf8");
  return [...text.matchAll(/^import .*from "([^"]+)"/gm)].map((match) => match[1] as string);
}
