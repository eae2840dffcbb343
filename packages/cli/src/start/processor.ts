import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CliError, EXIT } from "../exit.ts";
import type { Child, Children } from "./children.ts";
import { deriveConfig } from "./processor-config.ts";

/** The processor of the demonstration. */
export interface DemoProcessor {
  /** Base address of its OTLP/HTTP receiver. */
  readonly otlp: string;
  /** Address of its page, with the token. */
  readonly page: string;
  /** What the person should know: ports that are not the usual ones. */
  readonly notes: readonly string[];
}

/** Where it keeps things, and what the environment says. */
export interface DemoProcessorOptions {
  /** The embedded configuration. */
  readonly config: string;
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
}

const READY_TIMEOUT_MS = 30_000;
/** Made for each run and handed over by the environment: the configuration is written to a file. */
const TOKEN = "COUNTERSIGN_CONSOLE_TOKEN";
const POLL_MS = 100;
/** A port that was free may be taken a moment later. */
const ATTEMPTS = 3;

/** Runs `countersign processor` as a child and waits until it is healthy. Rejects with `EXIT.unavailable` and its last words. */
export async function startProcessor(
  children: Children,
  options: DemoProcessorOptions,
): Promise<DemoProcessor> {
  const { config, directory, env } = options;
  const token = randomBytes(24).toString("base64url");
  const traces = env["OTEL_EXPORTER_OTLP_ENDPOINT"];
  for (let attempt = 1; ; attempt++) {
    const derived = await deriveConfig({
      file: config,
      directory,
      tokenVariable: TOKEN,
      ...(traces ? { traces } : {}),
    });
    const file = join(directory, "processor.yaml");
    writeFileSync(file, derived.text, { mode: 0o600 });
    const child = children.start({
      name: "processor",
      args: [process.argv[1] as string, "processor", "--config", file],
      cwd: directory,
      env: { ...env, [TOKEN]: token },
    });
    const health = `http://127.0.0.1:${derived.healthPort}/`;
    if (await healthy(health, child)) {
      return {
        otlp: `http://127.0.0.1:${derived.otlpPort}`,
        page: `http://127.0.0.1:${derived.consolePort}/?token=${token}`,
        notes: derived.notes,
      };
    }
    if (attempt === ATTEMPTS || !child.lastWords().some((line) => line.includes("EADDRINUSE"))) {
      throw new CliError(
        EXIT.unavailable,
        ["the processor did not start:", ...child.lastWords().map((line) => `  ${line}`)].join(
          "\n",
        ),
      );
    }
  }
}

/** False when the child ended first, or time is up. */
async function healthy(url: string, child: Child): Promise<boolean> {
  const ended = child.exited.then(() => false);
  const late = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < late) {
    const up = await Promise.race([ended, answers(url)]);
    if (up !== undefined) return up;
  }
  return false;
}

/** True once it does; undefined after a moment when it does not. */
async function answers(url: string): Promise<true | undefined> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(1_000) }).catch(() => undefined);
  await answer?.body?.cancel();
  if (answer?.ok === true) return true;
  await delay(POLL_MS);
  return undefined;
}
