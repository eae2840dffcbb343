// node --import @countersign/server/register server.js
// Gates every copy of the MCP SDK that this process loads. The policy is the file that COUNTERSIGN_POLICY names.
import { activate } from "./activate.ts";

await activate();
