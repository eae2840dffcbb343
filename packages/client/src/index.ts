export type { ProofOptions } from "./call-proofs.ts";
export { instrumentClient } from "./instrument.ts";
export type { ClientOptions } from "./instrument.ts";
export { McpClientInstrumentation } from "./instrumentation.ts";
export type { McpClientConfig } from "./instrumentation.ts";
export type { SpanOptions } from "./spans.ts";
