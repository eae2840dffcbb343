import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Metrics } from "@countersign/pipeline";

/** The gauges, and the monitor behind them. */
export interface EventLoopDelay {
  start(): void;
  stop(): void;
  /** What was measured so far has been read: begin again. */
  reset(): void;
}

/**
 * Gauges of how long the event loop lets others wait, in seconds, with the names of the OpenTelemetry semantic conventions
 * (`nodejs.eventloop.delay.*`). As they say it is what Node's monitor gives: a timer of 10 ms, so an idle loop reads 0.01.
 */
export function eventLoopDelay(metrics: Metrics): EventLoopDelay {
  const monitor = monitorEventLoopDelay();
  const gauges = {
    p50: ["Median delay", () => monitor.percentile(50)],
    p99: ["99 percentile delay", () => monitor.percentile(99)],
    max: ["Maximum delay", () => monitor.max],
  } as const;
  for (const [name, [what, read]] of Object.entries(gauges)) {
    const help = `${what} of the event loop since the last reading.`;
    // Nothing was counted yet: the maximum is 0, percentiles are too.
    metrics.gauge(`nodejs_eventloop_delay_${name}_seconds`, help, {}, () => read() / 1e9);
  }
  return {
    start: () => void monitor.enable(),
    stop: () => void monitor.disable(),
    reset: () => monitor.reset(),
  };
}
