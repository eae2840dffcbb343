import { existsSync, readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { patchProtocol, provePatch } from "./patch.ts";

/** A copy of an MCP SDK that a program at some place would load, and whether it can be gated. */
export interface InstalledSdk {
  readonly package: string;
  readonly version: string;
  readonly format: "esm" | "cjs";
  readonly directory: string;
  readonly patchable: boolean;
}

const ENTRIES = [
  { package: "@modelcontextprotocol/sdk", format: "esm", file: "dist/esm/shared/protocol.js" },
  { package: "@modelcontextprotocol/sdk", format: "cjs", file: "dist/cjs/shared/protocol.js" },
  { package: "@modelcontextprotocol/server", format: "esm", file: "dist/index.mjs" },
  { package: "@modelcontextprotocol/server", format: "cjs", file: "dist/index.cjs" },
] as const;

/**
 * The copies that the program `from` (a file) resolves, each loaded here and tried: the patch is put on and a blocked
 * request sent through it. Copies that only other packages resolve, and bundled ones, are not found this way.
 */
export async function installedSdks(from: string): Promise<readonly InstalledSdk[]> {
  const found = ENTRIES.flatMap((entry) => {
    const directory = packageDirectory(from, entry.package);
    return directory !== undefined && existsSync(join(directory, entry.file))
      ? [{ ...entry, directory }]
      : [];
  });
  return Promise.all(
    found.map(async ({ file, directory, ...entry }) => ({
      ...entry,
      directory,
      version: versionOf(directory),
      patchable: await isPatchable(join(directory, file)),
    })),
  );
}

/** Looks where Node would look. `require.resolve` cannot be asked: v1's root export names a file that is not shipped. */
function packageDirectory(from: string, name: string): string | undefined {
  const start = existsSync(from) ? realpathSync(from) : from;
  // Not NODE_PATH and its like, which `import` does not read: only the node_modules above the program.
  const places = (createRequire(start).resolve.paths(name) ?? []).filter((one) =>
    start.startsWith(dirname(one)),
  );
  const place = places.find((one) => existsSync(join(one, name, "package.json")));
  return place === undefined ? undefined : realpathSync(join(place, name));
}

function versionOf(directory: string): string {
  try {
    const { version } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
      version?: string;
    };
    return version ?? "unknown";
  } catch {
    return "unknown";
  }
}

async function isPatchable(file: string): Promise<boolean> {
  try {
    const loaded = (await import(pathToFileURL(file).href)) as {
      Protocol?: { prototype: object };
      default?: { Protocol?: { prototype: object } };
    };
    const Protocol = loaded.Protocol ?? loaded.default?.Protocol;
    return (
      Protocol !== undefined && patchProtocol(Protocol.prototype) && (await provePatch(Protocol))
    );
  } catch {
    return false;
  }
}

/** The file that stands for a directory when a program is looked for: any name in it resolves alike. */
export function programIn(directory: string): string {
  return join(directory, "index.js");
}
