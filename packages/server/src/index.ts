export { CODE_DENIED, CODE_UNDECIDED, denialOf, unrecordedDenial } from "./denial.ts";
export type { Denial, DeniedError, DeniedResult } from "./denial.ts";
export { createEnforcer } from "./enforce.ts";
export type {
  BlockedCall,
  Ending,
  Enforcer,
  EnforcerOptions,
  Filtered,
  IncomingCall,
  OpenCall,
  RunningCall,
} from "./enforce.ts";
export { instrumentServer } from "./instrument.ts";
export type { InstrumentOptions, Instrumented } from "./instrument.ts";
export { McpServerInstrumentation } from "./instrumentation.ts";
export type { McpServerConfig } from "./instrumentation.ts";
export type { SdkCopy } from "./coverage.ts";
export type { OptInAttributes } from "./spans.ts";
