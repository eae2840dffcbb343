export type { CallOutcome, ListEntry, McpCall, Verdict } from "./call.ts";
export type {
  CheckAnswer,
  CheckCall,
  Checker,
  CheckRequest,
  ProbeResult,
} from "./check/checker.ts";
export { createRelationshipsChecker } from "./check/relationships.ts";
export { createSpiceDbChecker } from "./check/spicedb.ts";
export { explain, type ExplainedCheck, type ExplainRequest, type Explanation } from "./explain.ts";
export type { GateClock } from "./clock.ts";
export { createGate, type Gate, type GateLimits, type GateOptions } from "./gate.ts";
export { classify, classifyNotification, hasOutcome, type MethodClass } from "./methods.ts";
export { createChecker, identityConfig, openGate, type OpenGateOptions } from "./open.ts";
export { type LoadedPolicy, loadPolicy } from "./policy/load.ts";
export type { AuthorizerConfig, Policy, SpiceDbConfig } from "./policy/policy.ts";
export { PolicyError } from "./policy/report.ts";
export { shipOptions } from "./ship-options.ts";
