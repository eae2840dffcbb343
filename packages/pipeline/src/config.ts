import { CountersignError } from "@countersign/model";
import { formatProblem, parseDocument, type Problem } from "@countersign/model/document";
import { checkComponents } from "./config-components.ts";
import { expandVariables } from "./config-expand.ts";
import { checkPipelines } from "./config-pipelines.ts";
import { createReport } from "./config-report.ts";
import { checkShape } from "./config-shape.ts";
import type { Config, ConfigAdvice } from "./configured.ts";
import type { ComponentSpec } from "./spec.ts";

/** What came of reading a configuration. With a problem there is no config. */
export interface LoadedConfig {
  readonly config?: Config;
  readonly problems: readonly Problem[];
  /** Nothing wrong, but surely not meant. */
  readonly warnings: readonly Problem[];
}

/** Where a configuration comes from. */
export interface ConfigSource {
  readonly text: string;
  /** For messages. */
  readonly file: string;
  /** What this build contains. */
  readonly components: readonly ComponentSpec[];
  /** For `${env:X}`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What to do instead, for those who come from another service with configurations like ours. */
  readonly advice?: ConfigAdvice;
}

/** Reads a configuration and finds every problem in it, each with its place and what to do. Never throws. */
export function readConfig(source: ConfigSource): LoadedConfig {
  const document = parseDocument(source.text, source.file);
  if (document.problems.length > 0) return { problems: document.problems, warnings: [] };
  const report = createReport(document);
  const expanded = expandVariables(document.value, source.env, report);
  const shape = checkShape(expanded.value, report);
  if (shape === undefined) return report.done();
  const components = checkComponents(shape, {
    specs: source.components,
    expanded,
    report,
    advice: source.advice ?? { components: {}, settings: {} },
  });
  const pipelines = checkPipelines(shape, components, report);
  const { problems, warnings } = report.done();
  if (problems.length > 0 || pipelines === undefined) return { problems, warnings };
  return { config: pipelines, problems, warnings };
}

/** A configuration that cannot be used: CONFIG_INVALID, with every problem. */
export class ConfigError extends CountersignError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super("CONFIG_INVALID", `config: ${problems.map(formatProblem).join("\n")}`);
    this.problems = problems;
  }
}
