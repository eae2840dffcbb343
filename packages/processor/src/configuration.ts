import type { Problem } from "@countersign/model/document";
import { type Config, ConfigError, type LoadedConfig, readConfig } from "@countersign/pipeline";
import { COLLECTOR_ADVICE } from "./collector-advice.ts";
import { COMPONENTS } from "./components.ts";

/** Values for `${env:X}`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A configuration that can run. */
export interface UsableConfig {
  readonly config: Config;
  /** Surely not meant, but not wrong: components that nothing uses. */
  readonly warnings: readonly Problem[];
}

/** What is found in a configuration, each in the order of the file. */
export interface ConfigFindings {
  /** None if it can run. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Every problem of a configuration, and what was surely not meant. Never throws. */
export function validateConfig(
  text: string,
  file: string,
  env: Environment = process.env,
): ConfigFindings {
  const { problems, warnings } = read(text, file, env);
  return { problems, warnings };
}

function read(text: string, file: string, env: Environment): LoadedConfig {
  return readConfig({ text, file, env, components: COMPONENTS, advice: COLLECTOR_ADVICE });
}

/** Reads a configuration. Throws a `ConfigError` (CONFIG_INVALID) with `problems`. */
export function loadConfig(
  text: string,
  file: string,
  env: Environment = process.env,
): UsableConfig {
  const { config, problems, warnings } = read(text, file, env);
  if (config === undefined) throw new ConfigError(problems);
  return { config, warnings };
}
