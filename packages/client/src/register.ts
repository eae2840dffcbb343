// node --import @countersign/client/register agent.js
// Instruments every copy of the MCP SDK's client that this process loads. Traces go where the OTEL_* variables say.
import * as nodeModule from "node:module";

// An older Node can neither hook loads nor link the rest, so nothing is imported before that is known.
if (typeof nodeModule.registerHooks === "function") {
  const { activate } = await import("./activate.ts");
  await activate();
} else {
  process.stderr.write(
    `client.register: Node ${process.versions.node} is too old, nothing is instrumented; it needs 22.15 or later\n`,
  );
}
