// docs/guides/elastic.md, command by command, against an engine that runs.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../free-port.ts";
import { until } from "./kafka-parts.ts";
import { processorCommand } from "./processor-command.ts";
import type { SearchEngine } from "./search-engine.ts";

const root = join(import.meta.dirname, "..", "..");
const guide = readFileSync(join(root, "docs", "guides", "elastic.md"), "utf8");

/** Code blocks behind a marker, in order. */
export function guideBlocks(marker: string): readonly string[] {
  return [
    ...guide.matchAll(new RegExp(`<!-- ${marker} -->\n\`\`\`[a-z]+\n([^]*?)\`\`\``, "g")),
  ].map(([, code]) => code as string);
}

/** The rights that the guide gives the key. */
export function guidePrivileges(): readonly string[] {
  const key = guideBlocks("elasticsearch")[1] ?? "";
  return JSON.parse(/"privileges": (\[.*\])/.exec(key)?.[1] ?? "[]") as string[];
}

/** Where the guide is followed. */
export interface GuidePlace {
  readonly engine: SearchEngine;
  readonly admin: string;
  /** Lines with one of these are left out: the engine under test has not got it. */
  readonly lacks: readonly string[];
}

/** Runs commands of the guide in the shell of its first step; resolves with the answers, a line each. */
export async function followed(script: string, place: GuidePlace): Promise<readonly string[]> {
  const functions = /^elastic\(\).*$/m.exec(guide)?.[0] ?? "";
  const lines = script
    .split("\n")
    .filter((line) => !place.lacks.some((part) => line.includes(part)));
  const { stdout } = await promisify(execFile)(
    "bash",
    ["-euo", "pipefail", "-c", `${functions}\n${lines.join("\n")}`],
    { cwd: root, env: { ...process.env, ...environment(place) } },
  );
  return stdout.split("\n").filter((line) => line !== "");
}

function environment({ engine, admin }: GuidePlace): Record<string, string> {
  return {
    ELASTIC: engine.url,
    ELASTIC_ADMIN: admin,
    ...(engine.caFile === undefined ? {} : { CURL_CA_BUNDLE: engine.caFile }),
  };
}

/** Step 4: starts the guide's configuration, sends the event, waits for it in the data stream. `more`: how it gets in here. */
export async function processorOfGuide(place: GuidePlace, more: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-elastic-"));
  const [port, healthPort] = await Promise.all([freePort(), freePort()]);
  const config = (guideBlocks("elastic.yaml")[0] ?? "")
    .replaceAll("./.countersign", directory)
    .replace("127.0.0.1:4318", `127.0.0.1:${port}`)
    .replace("${env:ELASTIC}", place.engine.url)
    .replace("api_key: ${env:ELASTIC_API_KEY}", more)
    .replace("service:\n", "service:\n  extensions: [health_check]\n");
  const health = `extensions:\n  health_check: { endpoint: 127.0.0.1:${healthPort} }\n`;
  const configFile = join(directory, "elastic.yaml");
  const processor = processorCommand({ configFile, config: `${health}${config}`, healthPort });
  try {
    writeFileSync(configFile, `${health}${config}`);
    await processor.start();
    const event = guideBlocks("event")[0] ?? "";
    await followed(event.replace("127.0.0.1:4318", `127.0.0.1:${port}`), place);
    await until("the event is in the data stream", async () => {
      await place.engine.ask("POST", "/logs-countersign.decisions-acme/_refresh");
      const { body } = await place.engine.ask("GET", "/logs-countersign.decisions-acme/_count");
      return (body as { count?: number }).count === 1;
    });
    await processor.drain();
  } finally {
    await processor.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}
