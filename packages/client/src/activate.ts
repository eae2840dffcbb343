import { stderrLogger } from "@countersign/model";
import { patchTarget } from "./instrument.ts";
import { onProcessEnd } from "./lifecycle.ts";
import { hookClientLoads } from "./sdk-hook.ts";
import { createClientSpans } from "./spans.ts";
import { startTelemetry } from "./telemetry.ts";

/** What `--import @countersign/client/register` does. Nothing of it is in the way of the program: failures are lines on stderr. */
export async function activate(): Promise<void> {
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
}
