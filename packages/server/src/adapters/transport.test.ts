import { once } from "node:events";
import { type AddressInfo, Socket, connect, createServer } from "node:net";
import { PassThrough } from "node:stream";
import { StdioServerTransport as StdioV1 } from "@modelcontextprotocol/sdk/server/stdio.js";
import { InMemoryTransport as LinkV1 } from "@modelcontextprotocol/sdk/inMemory.js";
import {
  InMemoryTransport as LinkV2,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import { StdioServerTransport as StdioV2 } from "@modelcontextprotocol/server/stdio";
import { describe, expect, test } from "vitest";
import { bearerOf, isLocal, isNetwork } from "./transport.ts";
import { sdkV1 } from "./sdk-v1.ts";
import { sdkV2 } from "./sdk-v2.ts";

describe("local is only this process's own standard input, or a link inside it", () => {
  test("both SDKs", () => {
    expect(
      [
        new StdioV1(),
        new StdioV2(),
        LinkV1.createLinkedPair()[0],
        LinkV2.createLinkedPair()[0],
      ].map(isLocal),
    ).toEqual([true, true, true, true]);
  });

  test("stdio over a socket is network: the process's account says nothing of who is there", () => {
    const socket = new PassThrough();
    expect(
      [
        new StdioV1(socket, socket),
        new StdioV2(socket, socket),
        new WebStandardStreamableHTTPServerTransport({}),
        {},
        undefined,
      ].map(isLocal),
    ).toEqual([false, false, false, false, false]);
  });
});

test("standard input that is a connection is network, also when the other end is gone", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  const accepted = once(server, "connection");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [input] = (await accepted) as [Socket];
  expect(isNetwork(input)).toBe(true);
  client.resetAndDestroy();
  input.on("error", () => undefined).destroy();
  expect(isNetwork(input)).toBe(true);
  expect(isNetwork(new Socket().destroy())).toBe(true);
  expect(isNetwork(new PassThrough())).toBe(false);
  server.close();
});

describe("a bearer token", () => {
  test.each([
    [{ token: "a" }, "Bearer a", { bearer: "a" }],
    [{ token: "a" }, undefined, { bearer: "a" }],
    [undefined, "bearer  a", { bearer: "a" }],
    [{ token: "a" }, "Bearer b", { bearer: "a", conflictingBearer: true }],
    [undefined, "Bearer a, Bearer b", { bearer: "a, Bearer b" }],
    [undefined, "Basic dTpw", {}],
    [undefined, "Bearer", { bearer: "" }],
    [undefined, "Bearer ", { bearer: "" }],
    [undefined, "Bearer\ta", { bearer: "a" }],
    [undefined, "DPoP a", { bearer: "" }],
    [{ token: "a" }, "DPoP a", { bearer: "a" }],
    [{ token: "" }, undefined, { bearer: "" }],
    [{ clientId: "x" }, undefined, {}],
    [undefined, undefined, {}],
  ])("authInfo %j, header %j", (authInfo, header, expected) => {
    expect(bearerOf(authInfo, header)).toEqual(expected);
  });
});

describe("reading a call", () => {
  const self = {
    _requestHandlers: new Map(),
    _onerror: () => undefined,
    _onrequest: () => undefined,
  };
  const { signal } = new AbortController();
  const params = { name: "t", _meta: { traceparent: "x" } };

  test("v1 over HTTP: token and header, protocol version from the header", () => {
    const call = sdkV1.read(
      self,
      { id: 1, method: "tools/call", params },
      {
        signal,
        requestId: 1,
        authInfo: { token: "a" },
        requestInfo: {
          headers: { authorization: "Bearer b", "mcp-protocol-version": "2025-06-18" },
        },
      },
    );
    expect(call).toMatchObject({
      transport: "http",
      bearer: "a",
      conflictingBearer: true,
      protocolVersion: "2025-06-18",
      requestId: 1,
    });
  });

  test("v1: several Authorization headers are no token of anybody's", () => {
    const headers = { authorization: ["Bearer a", "Bearer a"] };
    const call = sdkV1.read(
      self,
      { method: "tools/call", params },
      { signal, requestInfo: { headers } },
    );
    expect(call.bearer).toBe("a, Bearer a");
  });

  test("v2: the envelope names version and client; HTTP has the token", () => {
    const call = sdkV2.read(
      self,
      { method: "tools/call", params },
      {
        mcpReq: {
          id: "x",
          signal,
          envelope: {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { name: "agent", version: "1", extra: "dropped" },
          },
        },
        http: { req: new Request("http://127.0.0.1/", { headers: { authorization: "Bearer a" } }) },
      },
    );
    expect(call).toMatchObject({
      transport: "http",
      bearer: "a",
      protocolVersion: "2026-07-28",
      clientInfo: { name: "agent", version: "1" },
      meta: { traceparent: "x" },
    });
    expect(call.clientInfo).not.toHaveProperty("extra");
  });

  test.each([
    [[1], "malformed"],
    ["text", "malformed"],
    [{ _meta: "text" }, "malformed"],
    [{ _meta: [] }, "malformed"],
    [undefined, undefined],
    [{}, undefined],
  ])("params %j: fault %s", (given, fault) => {
    for (const [sdk, extra] of [
      [sdkV1, { signal }],
      [sdkV2, { mcpReq: { signal } }],
    ] as const) {
      expect(sdk.read(self, { method: "tools/call", params: given }, extra).fault).toBe(fault);
    }
  });
});
