import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

/** The `Client` class of one copy of the SDK, at the moment it has been evaluated and nobody has used it yet. */
export interface LoadedClient {
  readonly package: string;
  readonly version: string;
  readonly Client: { readonly prototype: object } | undefined;
}

interface PatchPoint {
  readonly suffix: string;
  readonly package: string;
  readonly esm: boolean;
}

const POINTS: readonly PatchPoint[] = [
  { suffix: "/dist/esm/client/index.js", package: "@modelcontextprotocol/sdk", esm: true },
  { suffix: "/dist/cjs/client/index.js", package: "@modelcontextprotocol/sdk", esm: false },
  { suffix: "/dist/index.mjs", package: "@modelcontextprotocol/client", esm: true },
  { suffix: "/dist/index.cjs", package: "@modelcontextprotocol/client", esm: false },
];

/**
 * Calls `onLoad` for every copy of the SDK's client that this thread loads from now on, ESM or CommonJS, whoever imports it.
 * It adds one statement to the end of the entry file: nothing is loaded that the application would not load itself.
 */
export function hookClientLoads(onLoad: (client: LoadedClient) => void): void {
  const key = `@countersign/client sdk ${Math.random()}`;
  const found: { package: string; version: string }[] = [];
  Object.defineProperty(globalThis, Symbol.for(key), {
    value: (index: number, Client: LoadedClient["Client"]) => {
      const copy = found[index];
      if (copy !== undefined) onLoad({ ...copy, Client });
    },
  });
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const point = pointOf(url);
      if (point === undefined) return loaded;
      const index = found.push({ package: point.package, version: point.version }) - 1;
      const read = point.esm
        ? `typeof Client === "undefined" ? undefined : Client`
        : "exports.Client";
      const tail = `\n;globalThis[Symbol.for(${JSON.stringify(key)})](${index}, ${read});\n`;
      return { ...loaded, source: sourceOf(url, loaded.source) + tail };
    },
  });
}

function pointOf(url: string): (PatchPoint & { version: string }) | undefined {
  if (!url.startsWith("file:")) return undefined;
  const path = url.replace(/[?#].*$/, "");
  for (const point of POINTS.filter(({ suffix }) => path.endsWith(suffix))) {
    const { name, version } = manifestOf(path.slice(0, -point.suffix.length));
    if (name === point.package) return { ...point, version: version ?? "unknown" };
  }
  return undefined;
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
