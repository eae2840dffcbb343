// A plain STDIO server with one tool: what the guard stands in front of, and what start-up is timed on.
import { McpServer } from "@modelcontextprotocol/server";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

const server = new McpServer({ name: "bench", version: "1.0.0" });
const inputSchema = z.object({ id: z.string(), message: z.string() });
server.registerTool("echo", { description: "echo", inputSchema }, ({ id, message }) => ({
  content: [{ type: "text", text: `${id}: ${message}` }],
}));
await server.connect(new StdioServerTransport());
