import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseDocument } from "@countersign/model/document";
import { pickPort } from "./ports.ts";

/** The configuration that `start` runs, made from the embedded one. */
export interface DerivedConfig {
  /** JSON, and so YAML. */
  readonly text: string;
  readonly otlpPort: number;
  readonly healthPort: number;
  readonly consolePort: number;
  /** Ports that are not the usual ones, a sentence each. */
  readonly notes: readonly string[];
}

/** Where things are kept, and where traces go as well. */
export interface DeriveOptions {
  readonly file: string;
  readonly directory: string;
  /** Names the variable that holds the page's token. */
  readonly tokenVariable: string;
  readonly traces?: string;
}

interface Section {
  [name: string]: Section | string | readonly string[];
}

const LISTENERS = [
  { path: ["receivers", "otlp", "protocols", "http"], what: "OTLP" },
  { path: ["extensions", "health_check"], what: "health check" },
  { path: ["extensions", "metrics"], what: "metrics" },
  { path: ["extensions", "console"], what: "page" },
] as const;
/** How the embedded configuration spells the state directory. */
const STATE = "./.countersign";

/** Reads the embedded configuration, moves its files below one directory and its listeners to ports that are free. */
export async function deriveConfig(options: DeriveOptions): Promise<DerivedConfig> {
  const text = readFileSync(options.file, "utf8");
  const document = parseDocument(text, options.file).value as Section;
  const config = relocate(document, resolve(options.directory)) as Section;
  const notes: string[] = [];
  const ports: number[] = [];
  for (const { path, what } of LISTENERS) {
    const section = path.reduce((at, name) => at[name] as Section, config);
    const wanted = Number((section["endpoint"] as string).split(":").at(-1));
    const picked = await pickPort(wanted);
    section["endpoint"] = `127.0.0.1:${picked.port}`;
    ports.push(picked.port);
    if (!picked.wanted) notes.push(`Port ${wanted} is taken: ${what} on ${picked.port} instead.`);
  }
  (config["extensions"] as Record<string, Section>)["console"] = {
    ...(config["extensions"] as Record<string, Section>)["console"],
    token: `\${env:${options.tokenVariable}}`,
  };
  if (options.traces !== undefined) addTraces(config, options.traces);
  const [otlpPort, healthPort, , consolePort] = ports as [number, number, number, number];
  return { text: JSON.stringify(config, undefined, 2), otlpPort, healthPort, consolePort, notes };
}

function relocate(value: unknown, directory: string): unknown {
  if (typeof value === "string") {
    return value.startsWith(STATE) ? `${directory}${value.slice(STATE.length)}` : value;
  }
  if (Array.isArray(value)) return value.map((item) => relocate(item, directory));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, relocate(member, directory)]),
  );
}

/** Another backend gets the redacted spans. It may be slow or away: its pipeline drops, and nothing else waits for it. */
function addTraces(config: Section, endpoint: string): void {
  (config["exporters"] as Section)["otlp_http/upstream"] = { endpoint };
  ((config["service"] as Section)["pipelines"] as Record<string, object>)["traces/upstream"] = {
    receivers: ["otlp"],
    processors: ["redact"],
    exporters: ["otlp_http/upstream"],
    on_full: "drop",
  };
}
