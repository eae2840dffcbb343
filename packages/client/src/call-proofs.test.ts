/* oxlint-disable no-underscore-dangle -- names of the wire */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Credential } from "@countersign/identity";
import { CountersignError, META_CALL_PROOF, silentLogger } from "@countersign/model";
import { describe, expect, test } from "vitest";
import { audienceOf } from "./audience.ts";
import { type CallProofs, type Message, createCallProofs } from "./call-proofs.ts";
import { credentialCommand } from "./credential-command.ts";
import { claimsIn, credential, source, tokenWith } from "./testing/fake-login.ts";

type Json = Record<string, unknown>;

const proofs = (over: Partial<Parameters<typeof createCallProofs>[0]> = {}): CallProofs =>
  createCallProofs({ credential: source(), audience: "urn:x", log: silentLogger, ...over });
const call = (params: unknown, method = "tools/call"): Message => ({
  jsonrpc: "2.0",
  id: 1,
  method,
  params,
});

describe("what is proven", () => {
  test("the message as it was when it was sent, in JSON, whatever becomes of the caller's objects", async () => {
    const args: Json = { id: "T-1", at: new Date(0), gone: undefined };
    const proven = proofs().prove(call({ name: "read_ticket", arguments: args }), {});
    args["id"] = "T-2";
    const { params } = (await proven) as { params: Json };
    expect(params["arguments"]).toEqual({ id: "T-1", at: "1970-01-01T00:00:00.000Z" });
    const again = proofs().prove(
      call({ name: "read_ticket", arguments: { at: "1970-01-01T00:00:00.000Z", id: "T-1" } }),
      {},
    );
    const [first, second] = [claimsIn(await proven), claimsIn(await again)];
    expect((first["mcp"] as Json)["digest"]).toBe((second["mcp"] as Json)["digest"]);
  });

  test("a request without params gets some; the trace is named; the rest of _meta stays", async () => {
    const bare = await proofs().prove({ jsonrpc: "2.0", id: 1, method: "tools/list" }, {});
    expect(claimsIn(bare)).toMatchObject({ aud: "urn:x", mcp: { method: "tools/list" } });
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    const meta = { traceparent, progressToken: 7, "com.example/a": 1 };
    const traced = await proofs().prove(call({ name: "a", _meta: meta }), {});
    expect(claimsIn(traced)["txn"]).toBe("0af7651916cd43dd8448eb211c80319c");
    expect((traced["params"] as Json)["_meta"]).toMatchObject(meta);
  });

  test("somebody else's proof never travels: not with a proof of ours, not without", async () => {
    const foreign = { name: "a", _meta: { [META_CALL_PROOF]: { token: "foreign" }, kept: 1 } };
    const proven = await proofs().prove(call(foreign), {});
    expect(JSON.stringify(proven)).not.toContain("foreign");
    const nobody = { current: async () => undefined };
    const bare = await proofs({ credential: nobody }).prove(call(foreign), {});
    const note = proofs().prove({ jsonrpc: "2.0", method: "notifications/x", params: foreign }, {});
    for (const one of [bare, note]) expect(one).toMatchObject({ params: { _meta: { kept: 1 } } });
    expect(JSON.stringify([bare, note])).not.toContain("foreign");
    expect(foreign._meta[META_CALL_PROOF]).toEqual({ token: "foreign" });
  });

  test.each([
    ["initialize", call({}, "initialize")],
    ["ping", call({}, "ping")],
    ["server/discover", call({}, "server/discover")],
    ["a notification", { jsonrpc: "2.0", method: "notifications/cancelled", params: {} }],
    ["a response", { jsonrpc: "2.0", id: 1, result: {} }],
    ["params that are a list", call([1])],
    ["_meta that is none", call({ _meta: "x" })],
  ])("not: %s", (_what, message) => {
    expect(proofs().prove(message, {})).toBe(message);
  });
});

describe("when there is no proof to be had", () => {
  test.each<[string, () => Promise<undefined>, string]>([
    ["what is no error of ours", () => Promise.reject(new Error("eyJ-secret")), "UNAVAILABLE"],
    ["REJECTED", () => Promise.reject(new CountersignError("REJECTED", "no")), "REJECTED"],
    ["CANCELLED", () => Promise.reject(new CountersignError("CANCELLED", "no")), "CANCELLED"],
  ])("%s is told by its code alone", async (_what, current, code) => {
    const failed = proofs({ credential: { current } }).prove(call({}), {}) as Promise<Message>;
    const error = await failed.catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ code });
    expect(`${(error as Error).stack} ${String((error as Error).cause)}`).not.toContain("eyJ");
  });

  test("a source that never answers is given up, and told to stop", async () => {
    let signal: AbortSignal | undefined;
    const current = (_audience: string, given: AbortSignal): Promise<never> => {
      signal = given;
      return new Promise(() => undefined);
    };
    const failed = proofs({ credential: { current }, timeoutMs: 20 }).prove(call({}), {});
    await expect(failed).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(signal?.aborted).toBe(true);
  });

  test("a login token that says more of its human than who they are is not sent", async () => {
    const token = tokenWith({ sub: "alice", email: "alice@example.com" });
    const current = async (): Promise<Credential> => ({ ...credential, token });
    const failed = proofs({ credential: { current } }).prove(call({}), {}) as Promise<Message>;
    const error = await failed.catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ code: "INPUT_INVALID" });
    expect((error as Error).message).not.toContain("alice@");
  });
});

function unasked(): never {
  throw new Error("asked");
}

const stdio = (env?: Json): object => ({ _serverParams: { command: "x", env } });
const http = (url: string): object => ({ _url: new URL(url) });

describe("who a proof is for", () => {
  test.each<[string, object, string | undefined]>([
    ["STDIO, named", stdio({ COUNTERSIGN_AUDIENCE: "urn:mcp:tickets" }), "urn:mcp:tickets"],
    ["STDIO, not named", stdio({}), undefined],
    ["STDIO, without an env", stdio(), undefined],
    ["HTTP", http("https://a.example/mcp"), "https://a.example/mcp"],
    ["HTTP, bare", http("http://127.0.0.1:8080"), "http://127.0.0.1:8080/"],
    [
      "HTTP, query, fragment, user",
      http("https://u:p@a.example/mcp?k=1#f"),
      "https://a.example/mcp",
    ],
    ["another scheme", http("wss://a.example/mcp"), undefined],
    ["a transport of somebody else", { send: () => undefined }, undefined],
  ])("%s", (_what, transport, audience) => {
    expect(audienceOf(transport)).toBe(audience);
  });

  test("nobody known: the message goes as it is, and nothing is asked", () => {
    const unknown = createCallProofs({ credential: { current: unasked }, log: silentLogger });
    const message = call({});
    expect(unknown.prove(message, {})).toBe(message);
  });
});

describe("COUNTERSIGN_CREDENTIAL", () => {
  test.each([undefined, "", "  "])("%j: no credential", (text) => {
    expect(credentialCommand(text)).toBeUndefined();
  });

  test.each(["[", "[]", "[1]", '[""]', '{"a":1'.replace("{", "["), '["a\\u0000b"]'])(
    "%j is no command",
    (text) => {
      expect(() => credentialCommand(text)).toThrow(/COUNTERSIGN_CREDENTIAL must be/);
    },
  );

  test("words, or a list that may hold blanks: the helper runs when it is asked", async () => {
    const script = `process.exit(process.env.COUNTERSIGN_EXEC_INFO.includes("urn:x") ? 1 : 2)`;
    const listed = credentialCommand(JSON.stringify([process.execPath, "-e", script]));
    const split = credentialCommand(` ${process.execPath}  -e process.exit(1) `);
    const { signal } = new AbortController();
    expect(await listed?.current("urn:x", signal)).toBeUndefined();
    expect(await split?.current("urn:x", signal)).toBeUndefined();
  });
});

test("what makes proofs is loaded by the first call that needs one: nobody imports it before", () => {
  const files = readdirSync(import.meta.dirname).filter(
    (file) => file.endsWith(".ts") && !file.endsWith(".test.ts"),
  );
  const early = files.filter((file) =>
    /^import (?!type ).*"@countersign\/identity"/m.test(
      readFileSync(join(import.meta.dirname, file), "utf8"),
    ),
  );
  expect([files.includes("call-proofs.ts"), early]).toEqual([true, []]);
});
