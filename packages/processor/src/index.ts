export { COMPONENTS, describeComponents } from "./components.ts";
export type { ComponentDescription } from "./components.ts";
export { loadConfig, validateConfig } from "./configuration.ts";
export type { ConfigFindings, Environment, UsableConfig } from "./configuration.ts";
export { runProcessor } from "./run.ts";
export type { RunOptions } from "./run.ts";
export { createService } from "./service.ts";
export type { Service, ServiceOptions } from "./service.ts";
