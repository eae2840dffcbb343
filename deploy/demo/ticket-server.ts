/**
 * A small MCP server, SDK v2 over STDIO. It holds no line of Countersign: `--import @countersign/server/register` and
 * COUNTERSIGN_POLICY put the gate in front of every handler.
 */
import { McpServer } from "@modelcontextprotocol/server";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

interface Ticket {
  title: string;
  open: boolean;
  queue: string;
  readonly comments: string[];
}

const tickets = new Map<string, Ticket>([
  ["T-1001", { title: "Invoice is wrong", open: true, queue: "eu/inbox", comments: [] }],
  ["T-1002", { title: "Cannot sign in", open: true, queue: "eu/inbox", comments: [] }],
  ["T-2001", { title: "Refund is late", open: true, queue: "eu/billing", comments: [] }],
]);

const MAX_COMMENTS = 100;
const id = z.string().max(64);
const server = new McpServer({ name: "tickets", version: "1.0.0" });

function answer(text: string): { content: { type: "text"; text: string }[] } {
  return { content: [{ type: "text", text }] };
}

function find(ticketId: string): Ticket {
  const ticket = tickets.get(ticketId);
  if (ticket === undefined) throw new Error("no such ticket");
  return ticket;
}

server.registerTool(
  "read_ticket",
  {
    description: "Shows a ticket",
    inputSchema: z.object({ id }),
    annotations: { readOnlyHint: true },
  },
  async (args) => answer(JSON.stringify(find(args.id))),
);

server.registerTool(
  "add_comment",
  { description: "Comments on a ticket", inputSchema: z.object({ id, text: z.string() }) },
  async (args) => {
    const { comments } = find(args.id);
    comments.push(args.text);
    if (comments.length > MAX_COMMENTS) comments.shift();
    return answer(`Noted: ${args.text}`);
  },
);

server.registerTool(
  "close_many",
  { description: "Closes tickets", inputSchema: z.object({ ids: z.array(id) }) },
  async (args) => {
    for (const ticketId of args.ids) find(ticketId).open = false;
    return answer(`Closed ${args.ids.length}`);
  },
);

server.registerTool(
  "move_ticket",
  {
    description: "Moves a ticket to another queue",
    inputSchema: z.object({ id, team: z.string(), queue: z.string() }),
  },
  async (args) => {
    find(args.id).queue = `${args.team}/${args.queue}`;
    return answer("Moved");
  },
);

server.registerTool(
  "refund",
  { description: "Refunds a customer", inputSchema: z.object({ id, amount: z.number() }) },
  async (args) => answer(`Refunded ${args.amount} for ${args.id}`),
);

server.registerTool(
  "export_tickets",
  { description: "Gives everything away", inputSchema: z.object({ note: z.string().optional() }) },
  async () => answer(JSON.stringify([...tickets])),
);

await server.connect(new StdioServerTransport());
