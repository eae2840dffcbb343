export { COMPONENTS, describeComponents } from "./components.ts";
export type { ComponentDescription } from "./components.ts";
export { loadConfig, validateConfig } from "./configuration.ts";
export type { ConfigFindings, Environment, UsableConfig } from "./configuration.ts";
export { listLetters, showLetter } from "./delivery/dead-letters.ts";
export type { LetterFilter, LetterGroup, LetterList } from "./delivery/dead-letters.ts";
export type { StoredLetter } from "./delivery/letter-store.ts";
export { reconcile } from "./delivery/reconcile.ts";
export type {
  AbsentEvent,
  Gap,
  Reconciliation,
  ReconcileOptions,
  SinkReconciliation,
} from "./delivery/reconcile.ts";
export { redrive } from "./delivery/redrive.ts";
export type { RedriveOptions, RedriveSummary } from "./delivery/redrive.ts";
export { prepareReplay } from "./delivery/replay.ts";
export type { Replay, ReplayOptions, ReplaySummary } from "./delivery/replay.ts";
export type { Selection } from "./delivery/selection.ts";
export { loggersOf } from "./json-logger.ts";
export { runProcessor } from "./run.ts";
export type { RunOptions } from "./run.ts";
export { createService } from "./service.ts";
export type { Service, ServiceOptions } from "./service.ts";
