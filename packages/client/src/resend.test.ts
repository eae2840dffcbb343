import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as HttpV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  Client as ClientV2,
  StreamableHTTPClientTransport as HttpV2,
} from "@modelcontextprotocol/client";
import { afterEach, describe, expect, test } from "vitest";
import type { Message } from "./call-proofs.ts";
import { instrumentClient } from "./instrument.ts";
import { claimsIn, source } from "./testing/fake-login.ts";

type Json = Record<string, unknown>;

let stop: () => Promise<void> = async () => undefined;
afterEach(() => stop());

interface Refusing {
  readonly url: URL;
  /** Bodies of `tools/call`, in order. */
  readonly calls: Message[];
}

function json(response: ServerResponse, status: number, body: Json): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

/** A server that wants to be asked again: the first `tools/call` gets 401. It is its own authorization server. */
async function refusesOnce(): Promise<Refusing> {
  const calls: Message[] = [];
  const rpc = (response: ServerResponse, message: Json): void => {
    if (message["id"] === undefined) {
      response.writeHead(202).end();
      return;
    }
    if (message["method"] === "tools/call") {
      calls.push(message);
      if (calls.length === 1) return json(response, 401, {});
    }
    const capabilities = { tools: {} };
    const serverInfo = { name: "s", version: "1" };
    const hello = { protocolVersion: "2025-06-18", capabilities, serverInfo };
    const result = message["method"] === "initialize" ? hello : { content: [] };
    json(response, 200, { jsonrpc: "2.0", id: message["id"], result });
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { origin } = url;
    if (request.url === "/mcp" && request.method === "POST") {
      rpc(response, JSON.parse(Buffer.concat(chunks).toString("utf8")) as Json);
    } else if (request.url === "/token") {
      json(response, 200, { access_token: "new", token_type: "Bearer" });
    } else if (request.url?.startsWith("/.well-known/oauth-authorization-server") === true) {
      json(response, 200, {
        issuer: origin,
        authorization_endpoint: `${origin}/authorize`,
        token_endpoint: `${origin}/token`,
        response_types_supported: ["code"],
      });
    } else response.writeHead(404).end();
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const url = new URL(`http://127.0.0.1:${port}/mcp`);
  stop = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { url, calls };
}

/** An OAuth client that has a refresh token already. */
const provider = {
  redirectUrl: "http://127.0.0.1/callback",
  clientMetadata: { redirect_uris: [] },
  clientInformation: () => ({ client_id: "agent" }),
  tokens: () => ({ access_token: "old", token_type: "Bearer", refresh_token: "r" }),
  saveTokens: () => undefined,
  redirectToAuthorization: () => undefined,
  saveCodeVerifier: () => undefined,
  codeVerifier: () => "",
};

const jtis = (calls: readonly Message[]): unknown[] => calls.map((one) => claimsIn(one)["jti"]);

describe("a transport that is refused and sends again", () => {
  test("SDK v1 proves it again", async () => {
    const { url, calls } = await refusesOnce();
    const client = new ClientV1({ name: "c", version: "1" });
    instrumentClient(client, { credential: source() });
    await client.connect(new HttpV1(url, { authProvider: provider as never }) as never);
    await client.callTool({ name: "a", arguments: { id: "T-1" } });
    await client.close();
    expect(calls).toHaveLength(2);
    expect(new Set(jtis(calls)).size).toBe(2);
    expect(calls.map((one) => claimsIn(one)["aud"])).toEqual([url.href, url.href]);
  });

  test("SDK v2 proves it again", async () => {
    const { url, calls } = await refusesOnce();
    const client = new ClientV2({ name: "c", version: "1" });
    instrumentClient(client, { credential: source() });
    const authProvider = { token: async () => "old", onUnauthorized: async () => undefined };
    await client.connect(new HttpV2(url, { authProvider }));
    await client.callTool({ name: "a", arguments: { id: "T-1" } });
    await client.close();
    expect(calls).toHaveLength(2);
    expect(new Set(jtis(calls)).size).toBe(2);
  });
});
