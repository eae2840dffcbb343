import { readFileSync } from "node:fs";
import * as nodeModule from "node:module"; // see activate.ts
import { fileURLToPath } from "node:url";

/** One copy of the SDK at the moment it has been evaluated and nobody has used it yet. */
export interface LoadedSdk {
  readonly package: string;
  readonly version: string;
  readonly format: "esm" | "cjs";
  readonly file: "protocol" | "index" | "stdio";
  /** Classes by their exported names, as far as this file has them. */
  readonly exports: Readonly<Record<string, unknown>>;
  /** Replaces an exported function for everybody who imports it. False when this copy does not let itself be changed so. */
  replace(name: string, wrap: (original: never) => unknown): boolean;
}

interface PatchPoint {
  readonly suffix: string;
  readonly package: string;
  readonly format: "esm" | "cjs";
  readonly file: LoadedSdk["file"];
  readonly classes: readonly string[];
  readonly functions: readonly string[];
}

const V1 = "@modelcontextprotocol/sdk";
const V2 = "@modelcontextprotocol/server";

/** Public entry files only: chunk names are hashes of their content. v1's `protocol.js` is importable by its own path. */
const POINTS: readonly PatchPoint[] = [
  ...(["esm", "cjs"] as const).map((format): PatchPoint => ({
    suffix: `/dist/${format}/shared/protocol.js`,
    package: V1,
    format,
    file: "protocol",
    classes: ["Protocol"],
    functions: [],
  })),
  ...(
    [
      ["esm", "mjs"],
      ["cjs", "cjs"],
    ] as const
  ).flatMap(([format, extension]): PatchPoint[] => [
    {
      suffix: `/dist/index.${extension}`,
      package: V2,
      format,
      file: "index",
      classes: ["Protocol", "Server"],
      functions: ["createMcpHandler"],
    },
    {
      suffix: `/dist/stdio.${extension}`,
      package: V2,
      format,
      file: "stdio",
      classes: ["StdioServerTransport"],
      functions: ["serveStdio"],
    },
  ]),
];

type Report = (
  point: number,
  url: string,
  exports: Record<string, unknown>,
  replace: (name: string, wrap: (original: never) => unknown) => boolean,
) => void;

/**
 * Calls `onLoad` for every copy of the SDK that this thread loads from now on, ESM or CommonJS, however deep it lies
 * and whoever imports it. It adds one statement to the end of the SDK's entry file, so the copy is patched before its
 * first importer runs and nothing is loaded that the application would not load itself.
 */
export function hookSdkLoads(onLoad: (sdk: LoadedSdk) => void): void {
  const key = `@countersign/server sdk ${Math.random()}`;
  const versions = new Map<string, string>();
  const report: Report = (index, url, exports, replace) => {
    const point = POINTS[index] as PatchPoint;
    const { package: name, format, file } = point;
    onLoad({
      package: name,
      version: versions.get(url) ?? "unknown",
      format,
      file,
      exports,
      replace,
    });
  };
  Object.defineProperty(globalThis, Symbol.for(key), { value: report });
  nodeModule.registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const index = pointOf(url, versions);
      if (index === undefined) return loaded;
      return { ...loaded, source: sourceOf(url, loaded.source) + tail(index, key) };
    },
  });
}

function pointOf(url: string, versions: Map<string, string>): number | undefined {
  if (!url.startsWith("file:")) return undefined;
  const path = url.replace(/[?#].*$/, "");
  const index = POINTS.findIndex(({ suffix }) => path.endsWith(suffix));
  if (index === -1) return undefined;
  const point = POINTS[index] as PatchPoint;
  const root = path.slice(0, -point.suffix.length);
  const { name, version } = manifestOf(root);
  if (name !== point.package) return undefined;
  versions.set(url, version ?? "unknown");
  return index;
}

function manifestOf(root: string): { name?: string; version?: string } {
  try {
    return JSON.parse(readFileSync(new URL(`${root}/package.json`), "utf8")) as {
      name?: string;
      version?: string;
    };
  } catch {
    return {};
  }
}

/** For CommonJS reached by `import`, Node leaves the reading to its own loader and hands over no source. */
function sourceOf(url: string, source: unknown): string {
  if (typeof source === "string") return source;
  if (source instanceof Uint8Array) return Buffer.from(source).toString("utf8");
  return readFileSync(fileURLToPath(url), "utf8");
}

/** A statement in the module's own scope: there its exports can be read, and its functions replaced for all importers. */
function tail(index: number, key: string): string {
  const { format, classes, functions } = POINTS[index] as PatchPoint;
  const esm = format === "esm";
  const read = classes.map((name) =>
    esm
      ? `${name}: typeof ${name} === "undefined" ? undefined : ${name}`
      : `${name}: exports.${name}`,
  );
  const write = functions.map((name) => {
    const target = esm ? name : `exports.${name}`;
    return `if (name === "${name}") { ${target} = wrap(${target}); return true; }`;
  });
  const url = esm ? "import.meta.url" : `require("node:url").pathToFileURL(__filename).href`;
  const replace = `(name, wrap) => { try { ${write.join(" ")} } catch {} return false; }`;
  return `\n;globalThis[Symbol.for(${JSON.stringify(key)})](${index}, ${url}, { ${read.join(", ")} }, ${replace});\n`;
}
