// node --import @countersign/client/register agent.js
// Instruments every copy of the MCP SDK's client that this process loads. Traces go where the OTEL_* variables say.
import { stderrLogger } from "@countersign/model";
import { patchTarget } from "./instrument.ts";
import { onProcessEnd } from "./lifecycle.ts";
import { hookClientLoads } from "./sdk-hook.ts";
import { createClientSpans } from "./spans.ts";
import { startTelemetry } from "./telemetry.ts";

const log = stderrLogger("client.register");
const spans = createClientSpans();

hookClientLoads(({ package: name, version, Client }) => {
  if (Client === undefined || !patchTarget(Client.prototype, spans)) {
    log.error("this copy of the MCP SDK is built differently from what can be instrumented", {
      package: name,
      version,
    });
  }
});

const telemetry = await startTelemetry({ serviceName: "mcp-client", log });
if (telemetry !== undefined) onProcessEnd(() => telemetry.shutdown());
