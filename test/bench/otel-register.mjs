// What a bare OpenTelemetry set-up costs at start: the SDK with one span processor that drops.
import { NodeSDK } from "@opentelemetry/sdk-node";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace";

const exporter = {
  export: (_spans, done) => done({ code: 0 }),
  shutdown: async () => {},
  forceFlush: async () => {},
};
new NodeSDK({
  autoDetectResources: false,
  serviceName: "bench",
  spanProcessors: [new BatchSpanProcessor({ exporter })],
}).start();
