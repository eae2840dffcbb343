// What replay, dlq and reconcile have in common: the service's configuration, and points in time.
import { readFile } from "node:fs/promises";
import { formatProblem } from "@countersign/model/document";
import { InvalidArgumentError } from "commander";
import { CliError, EXIT } from "./exit.ts";
import { requireInput } from "./input.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A point in time: ISO 8601 with its zone, or how long ago (`90m`, `2d`); in ms. */
export function timeFlag(text: string): number {
  const ago = /^(\d{1,6})([smhd])$/.exec(text);
  if (ago !== null) return Date.now() - Number(ago[1]) * (UNIT_MS[ago[2] as string] ?? 0);
  const zoned = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/.test(
    text,
  );
  const timeMs = zoned ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(timeMs)) return timeMs;
  throw new InvalidArgumentError("2026-11-29T10:00:00Z, or how long ago: 90m, 12h, 2d.");
}

/** A length of time in ms: `30s`, `5m`. */
export function durationFlag(text: string): number {
  const found = /^(\d{1,6})([smhd])$/.exec(text);
  if (found === null) throw new InvalidArgumentError("30s, 5m, 2h.");
  return Number(found[1]) * (UNIT_MS[found[2] as string] ?? 0);
}

/**
 * The configuration that the service runs with.
 *
 * @throws CliError `EXIT.config` with every problem, `EXIT.noInput` when there is no such file.
 */
export async function serviceConfig(
  file: string,
): Promise<ReturnType<typeof import("@countersign/processor").loadConfig>["config"]> {
  await requireInput(file);
  const { loadConfig, validateConfig } = await import("@countersign/processor");
  const text = await readFile(file, "utf8");
  const { problems } = validateConfig(text, file);
  if (problems.length > 0) throw new CliError(EXIT.config, problems.map(formatProblem).join("\n"));
  return loadConfig(text, file).config;
}
