export { createConsole } from "./console.ts";
export type { Console, ConsoleOptions } from "./console.ts";
export type { SpanView, TraceSource } from "./trace-source.ts";
