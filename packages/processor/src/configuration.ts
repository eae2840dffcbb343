import type { Problem } from "@countersign/model/document";
import { type Config, ConfigError, readConfig } from "@countersign/pipeline";
import { COMPONENTS } from "./components.ts";

/** Values for `${env:X}`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A configuration that can run. */
export interface UsableConfig {
  readonly config: Config;
  /** Surely not meant, but not wrong: components that nothing uses. */
  readonly warnings: readonly Problem[];
}

/** Every problem of a configuration, in the order of the file; none if it can run. Never throws. */
export function validateConfig(
  text: string,
  file: string,
  env: Environment = process.env,
): readonly Problem[] {
  return readConfig({ text, file, env, components: COMPONENTS }).problems;
}

/** Reads a configuration. Throws a `ConfigError` (CONFIG_INVALID) with `problems`. */
export function loadConfig(
  text: string,
  file: string,
  env: Environment = process.env,
): UsableConfig {
  const { config, problems, warnings } = readConfig({ text, file, env, components: COMPONENTS });
  if (config === undefined) throw new ConfigError(problems);
  return { config, warnings };
}
