import { CountersignError, stderrLogger } from "@countersign/model";
import type { CredentialSource } from "@countersign/identity";
import { createCallProofs } from "./call-proofs.ts";
import { credentialCommand } from "./credential-command.ts";
import { patchTarget } from "./instrument.ts";
import { onProcessEnd } from "./lifecycle.ts";
import { hookClientLoads } from "./sdk-hook.ts";
import { createClientSpans } from "./spans.ts";
import { startTelemetry } from "./telemetry.ts";

/** What `--import @countersign/client/register` does. Nothing of it is in the way of the program: failures are lines on stderr. */
export async function activate(): Promise<void> {
  const log = stderrLogger("client.register");
  const spans = createClientSpans();
  const credential = credentialOf(process.env["COUNTERSIGN_CREDENTIAL"], (sentence) =>
    log.error(sentence),
  );
  const proofs = credential === undefined ? undefined : createCallProofs({ credential, log });

  hookClientLoads(({ package: name, version, Client }) => {
    if (Client === undefined || !patchTarget(Client.prototype, { spans, proofs })) {
      log.error("this copy of the MCP SDK is built differently from what can be instrumented", {
        package: name,
        version,
      });
    }
  });

  const telemetry = await startTelemetry({ serviceName: "mcp-client", log });
  if (telemetry !== undefined) onProcessEnd(() => telemetry.shutdown());
}

/** Somebody wants proofs. If the command is wrong there can be none, and then no call goes: not one without a proof. */
function credentialOf(
  text: string | undefined,
  say: (sentence: string) => void,
): CredentialSource | undefined {
  try {
    return credentialCommand(text);
  } catch (error) {
    const { message } = error as CountersignError;
    say(message);
    return { current: () => Promise.reject(new CountersignError("UNAVAILABLE", message)) };
  }
}
