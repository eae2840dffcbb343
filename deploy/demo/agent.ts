/**
 * The agent: an MCP client, SDK v2. It holds no line of Countersign either: `--import @countersign/client/register` makes its
 * spans, carries their context into `_meta`, and signs each call to the ticket server with the login of the human in DEMO_HUMAN.
 * It prints one JSON line a call: what it tried and what came back, never an argument or a result.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { ASSURANCE, type Step, stepsOf } from "./scenario.ts";

const human = process.env["DEMO_HUMAN"] ?? "alice";
const entry = process.env["DEMO_COUNTERSIGN"] ?? ""; // the file that `countersign` starts from
const files = process.env["DEMO_FILES"] ?? "";

type ServerName = Step["server"];

/** The environment of a server: what it needs, not all that this process has. */
function environment(server: ServerName): Record<string, string> {
  const given: Record<string, string | undefined> = {
    PATH: process.env["PATH"],
    HOME: process.env["HOME"],
    TMPDIR: process.env["TMPDIR"],
    ...(server === "tickets" ? { COUNTERSIGN_AUDIENCE: "urn:mcp:tickets" } : {}),
    COUNTERSIGN_POLICY: join(import.meta.dirname, "policies", `${server}.yaml`),
    COUNTERSIGN_STATE_DIR: process.env["COUNTERSIGN_STATE_DIR"],
    COUNTERSIGN_OTLP_ENDPOINT: process.env["COUNTERSIGN_OTLP_ENDPOINT"],
    COUNTERSIGN_SPICEDB_TOKEN: process.env["COUNTERSIGN_SPICEDB_TOKEN"],
    DEMO_SPICEDB: process.env["DEMO_SPICEDB"],
    DEMO_ISSUER: process.env["DEMO_ISSUER"],
    DEMO_NODE: process.execPath,
    DEMO_COUNTERSIGN: entry,
    DEMO_FILES: files,
    OTEL_SERVICE_NAME: server,
    OTEL_EXPORTER_OTLP_ENDPOINT: process.env["OTEL_EXPORTER_OTLP_ENDPOINT"],
  };
  return Object.fromEntries(
    Object.entries(given).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}

function command(server: ServerName): string[] {
  if (server === "tickets") {
    const script = join(import.meta.dirname, "ticket-server.ts");
    return [...nodeOptions(), "--import", "@countersign/server/register", script];
  }
  const filesystem = createRequire(import.meta.url).resolve(
    "@modelcontextprotocol/server-filesystem/dist/index.js",
  );
  const policy = join(import.meta.dirname, "policies", "files.yaml");
  const unmodified = [process.execPath, filesystem, files];
  return [...nodeOptions(), entry, "guard", "--policy", policy, "--", ...unmodified];
}

/** Conditions (`--conditions=…`) travel; the preload of this process does not. */
function nodeOptions(): string[] {
  return process.execArgv.filter((option) => option.startsWith("--conditions"));
}

async function connect(server: ServerName): Promise<Client> {
  const client = new Client({ name: "demo-agent", version: "1.0.0" });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: command(server),
    env: environment(server),
    cwd: server === "files" ? files : import.meta.dirname,
    stderr: "inherit",
  });
  await client.connect(transport);
  return client;
}

/** What the caller saw, as the record would call it. A denial is a result with `isError` and a reference. */
async function perform(client: Client, step: Step): Promise<"allow" | "deny" | "failed"> {
  try {
    const result = await client.callTool({ name: step.tool, arguments: { ...step.arguments } });
    if (result.isError !== true) return "allow";
    const [first] = result.content;
    return first?.type === "text" && first.text.startsWith("Access denied.") ? "deny" : "failed";
  } catch {
    return "failed";
  }
}

async function main(): Promise<void> {
  const clients = new Map<ServerName, Client>();
  for (const server of ["tickets", "files"] as const) {
    const client = await connect(server);
    clients.set(server, client);
    const { tools } = await client.listTools();
    console.log(JSON.stringify({ human, server, listed: tools.length }));
  }
  for (const step of stepsOf(human)) {
    const seen = await perform(clients.get(step.server) as Client, step);
    const { server, tool, expect, because } = step;
    const expected = { ...expect, assurance: ASSURANCE[server] };
    console.log(JSON.stringify({ human, server, tool, expect: expected, because, seen }));
  }
  for (const client of clients.values()) await client.close();
}

await main();
