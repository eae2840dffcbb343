// Our own requests must not appear as spans of the process we live in. The OpenTelemetry API keeps its context manager
// in the global registry, and its SDK looks for one key in the active context; both are process-wide by design, so this
// needs no dependency. Without a registered context manager it does nothing.
const API_KEY = Symbol.for("opentelemetry.js.api.1");
const SUPPRESS_KEY = Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING");

interface OtelContext {
  setValue(key: symbol, value: unknown): OtelContext;
}

interface ContextManager {
  active(): OtelContext;
  with<Result>(context: OtelContext, run: () => Result): Result;
}

/** Runs `run` in a context in which an OpenTelemetry SDK, if there is one, makes no spans. */
export function withoutTracing<Result>(run: () => Result): Result {
  const api = (globalThis as Record<symbol, { context?: ContextManager } | undefined>)[API_KEY];
  const manager = api?.context;
  if (manager === undefined) return run();
  return manager.with(manager.active().setValue(SUPPRESS_KEY, true), run);
}
