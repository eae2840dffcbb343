import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CallProof, createCallProver, type ProvableCall } from "./call-proof.ts";
import type { Credential } from "./credential.ts";
import {
  BINDINGS,
  CALL,
  type Changes,
  CLIENT,
  digest,
  forge,
  nowSeconds,
  received,
  SALT,
  SERVER,
  sha256,
  type TestLogin,
  testLogin,
  testPair,
  TRACE_ID,
  URL_AUDIENCE,
} from "./testing/login.ts";

const INVALID = { kind: "denied", reason: "identity_invalid" };
const never = new AbortController().signal;

let ada: TestLogin;
let token: string;

beforeAll(async () => {
  ada = await testLogin();
  token = await ada.token("id_token_cnf");
});

afterAll(() => ada.close());

function prove(
  credential: Credential | undefined,
  call: ProvableCall = CALL,
  audience: string = SERVER,
): Promise<CallProof | undefined> {
  return createCallProver({ current: () => Promise.resolve(credential) }).prove(
    { ...call, audience },
    never,
  );
}

describe("a proof that holds", () => {
  const ways = BINDINGS.flatMap((binding) => [
    [binding, "by the login key", true] as const,
    [binding, "by a call key", false] as const,
  ]);

  test.each(ways)(
    "%s, signed %s, names the human and what was bound",
    async (binding, _, direct) => {
      const credential = await ada.credential(binding, direct);
      const proof = received(await prove(credential));
      const result = await ada.ask(proof);
      const jti = claimsIn(proof["proof"] as string)["jti"];
      expect(result).toEqual({
        kind: "human",
        human: {
          issuer: ada.idp.issuer,
          subject: "auth0|5f7c",
          assurance: "call_bound",
          method: "call_proof",
          binding: {
            jkt: ada.loginKey.jkt,
            jti,
            tokenSha256: Buffer.from(sha256(credential.token), "base64url").toString("hex"),
          },
        },
        agent: { id: CLIENT },
        subject: expect.objectContaining({
          kind: binding === "dpop" ? "access_token" : "id_token",
        }) as object,
      });
      expect(JSON.stringify(result)).not.toContain(credential.token.slice(0, 40));
    },
  );

  test.each(["EdDSA", "Ed25519"])("with an Ed25519 key, as %s", async (algorithm) => {
    const bob = await testLogin(algorithm);
    const bobs = await bob.token("id_token_cnf");
    expect(await bob.ask({ token: bobs, proof: bob.proof(bobs) })).toMatchObject({ kind: "human" });
    expect(await bob.ask(received(await prove(await bob.credential("dpop"))))).toMatchObject({
      kind: "human",
    });
    await bob.close();
  });

  test.each<readonly [string, ProvableCall]>([
    ["a prompt", { method: "prompts/get", params: { name: "greet" } }],
    ["a resource", { method: "resources/read", params: { uri: "file:///a" } }],
    ["a subscription", { method: "resources/subscribe", params: { uri: "file:///a" } }],
    ["a list", { method: "tools/list", params: { cursor: "x" } }],
    ["no params", { method: "tools/list", params: undefined }],
    ["a call without a name", { method: "tools/call", params: { arguments: {} } }],
    ["numbers as JSON has them", { method: "x", params: { a: [1e21, -0, 0.1], b: "\u2028" } }],
  ])("about %s", async (_, call) => {
    const proof = received(await prove(await ada.credential("dpop"), call));
    expect(await ada.ask(proof, { call })).toMatchObject({ kind: "human" });
    expect(await ada.ask(proof, { call: { ...call, method: `${call.method}x` } })).toEqual(INVALID);
  });

  test("is about what is sent: _meta is not part of it, nor what JSON leaves out", async () => {
    const params = { name: "a", gone: undefined, at: new Date(0), _meta: { progressToken: 1 } };
    const proof = received(
      await prove(await ada.credential("dpop"), { method: "tools/call", params }),
    );
    const sent = {
      method: "tools/call",
      params: { name: "a", at: "1970-01-01T00:00:00.000Z", _meta: {} },
    };
    expect(await ada.ask(proof, { call: sent })).toMatchObject({ kind: "human" });
  });

  test("over HTTP the address of the server is an audience as well, on stdio it is none", async () => {
    const at = (how: Changes): string => ada.proof(token, how);
    const proof = { token, proof: at({ aud: URL_AUDIENCE }) };
    expect(await ada.ask(proof, { transport: "http" })).toMatchObject({ kind: "human" });
    expect(await ada.ask(proof)).toEqual(INVALID);
    const named = { token, proof: at({ aud: SERVER }) };
    expect(await ada.ask(named, { transport: "http" })).toMatchObject({ kind: "human" });
  });

  test.each([-60, -59, 59])("made %s s from now", async (seconds) => {
    const nowMs = nowSeconds() * 1000;
    const identity = ada.identity({ clock: () => nowMs });
    const proof = ada.proof(token, { iat: nowMs / 1000 + seconds });
    expect(await ada.ask({ token, proof }, { identity })).toMatchObject({ kind: "human" });
  });

  test("without a trace id, whatever the trace context of the call", async () => {
    const proof = { token, proof: ada.proof(token, { txn: undefined }) };
    expect(await ada.ask(proof)).toMatchObject({ kind: "human" });
  });
});

describe("a proof of something else", () => {
  const { method, params } = CALL;
  const others: readonly (readonly [string, ProvableCall])[] = [
    ["another method", { ...CALL, method: "prompts/get" }],
    ["another tool", { ...CALL, params: { ...params, name: "delete_ticket" } }],
    [
      "other arguments",
      { ...CALL, params: { ...params, arguments: { ...params.arguments, id: 43 } } },
    ],
    [
      "one argument more",
      { ...CALL, params: { ...params, arguments: { ...params.arguments, x: 1 } } },
    ],
    ["one param more", { ...CALL, params: { ...params, task: {} } }],
    [
      "a member named __proto__ more",
      {
        ...CALL,
        params: JSON.parse(
          `{"__proto__":{"a":1},"name":"read_ticket","arguments":${JSON.stringify(params.arguments)}}`,
        ) as object,
      },
    ],
    [
      "a number that is a string",
      { ...CALL, params: { ...params, arguments: { ...params.arguments, id: "42" } } },
    ],
    [
      "a string in another Unicode form",
      {
        ...CALL,
        params: { ...params, arguments: { ...params.arguments, words: ["a\u0308", "𝛼"] } },
      },
    ],
    ["no params at all", { method, params: undefined, traceId: TRACE_ID }],
    ["params that are a list", { ...CALL, params: [params] }],
    ["params nested deeper than anything", { ...CALL, params: { ...params, x: nested(70) } }],
    ["another trace", { ...CALL, traceId: "f".repeat(32) }],
    ["no trace", { method, params }],
  ];

  test.each(others)("%s", async (_, call) => {
    const proof = { token, proof: ada.proof(token) };
    expect(await ada.ask(proof)).toMatchObject({ kind: "human" });
    expect(await ada.ask(proof, { call })).toEqual(INVALID);
  });

  test.each([
    ["another server", "urn:mcp:billing"],
    ["the server's list", [SERVER]],
    ["the issuer", "http://127.0.0.1"],
    ["nobody", ""],
  ])("for %s", async (_, aud) => {
    expect(await ada.ask({ token, proof: ada.proof(token, { aud }) })).toEqual(INVALID);
  });

  test("for a server that has no name in its policy", async () => {
    const proof = { token, proof: ada.proof(token) };
    const identity = ada.identity({}, { server: undefined as unknown as string });
    expect(await ada.ask(proof, { identity })).toEqual(INVALID);
  });

  test("with another token of the same login", async () => {
    const other = await ada.token("id_token_cnf", { auth_time: 1 });
    expect(await ada.ask({ token: other, proof: ada.proof(token) })).toEqual(INVALID);
  });

  test("to a resolver that is not told what the call is", async () => {
    const proof = { token, proof: ada.proof(token) };
    expect(await ada.identity().resolve({ transport: "stdio", proof }, never)).toEqual(INVALID);
  });
});

describe("a proof with odd claims", () => {
  const now = nowSeconds();
  test.each<readonly [string, Changes]>([
    ["61 s old", { iat: now - 63 }],
    ["made too far from now", { iat: now + 180 }],
    ["made at half a second", { iat: now + 0.5 }],
    ["made at no time", { iat: undefined }],
    ["made at a time that is a text", { iat: String(now) }],
    ["without a number", { jti: undefined }],
    ["with a short number", { jti: "a".repeat(15) }],
    ["with a long number", { jti: "a".repeat(129) }],
    ["with a number of other letters", { jti: "ä".repeat(20) }],
    ["with a number that is one", { jti: 1e21 }],
    ["with the hash of another token", { ath: sha256("other") }],
    ["without a hash of the token", { ath: undefined }],
    ["with a trace id that is null", { txn: null }],
    ["with a trace id in capitals", { txn: TRACE_ID.toUpperCase() }],
    ["with exp", { exp: now + 60 }],
    ["with sub", { sub: "somebody" }],
    ["with iss", { iss: "https://idp.example" }],
    ["with a member named constructor", { constructor: {} }],
    ["with mcp missing", { mcp: undefined }],
    ["with mcp a list", { mcp: [] }],
    ["with mcp null", { mcp: null }],
    ["with mcp without a digest", { mcp: { method: CALL.method, name: CALL.params.name } }],
    ["with mcp without the name", { mcp: { method: CALL.method, digest: digest(CALL.params) } }],
    [
      "with another name and the right digest",
      { mcp: { method: CALL.method, name: "delete_ticket", digest: digest(CALL.params) } },
    ],
    [
      "with mcp with a member more",
      {
        mcp: { method: CALL.method, name: CALL.params.name, digest: digest(CALL.params), uri: "x" },
      },
    ],
    [
      "with the digest in hex",
      {
        mcp: {
          method: CALL.method,
          name: CALL.params.name,
          digest: Buffer.from(digest(CALL.params), "base64url").toString("hex"),
        },
      },
    ],
  ])("%s", async (_, changes) => {
    expect(await ada.ask({ token, proof: ada.proof(token, changes) })).toEqual(INVALID);
  });

  test("that pollute prototypes pollute none", async () => {
    const claims = { ...claimsIn(ada.proof(token)) };
    const text = JSON.stringify(claims).replace("{", '{"__proto__":{"polluted":1},');
    const header = { typ: "mcp-call-proof+jwt", alg: "ES256", jwk: ada.loginKey.publicJwk };
    expect(await ada.ask({ token, proof: forge(ada.loginKey, header, text) })).toEqual(INVALID);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test.each([["null"], ["[]"], ['"x"'], ["1"], ["{"], [""]])("that are %j", async (text) => {
    const header = { typ: "mcp-call-proof+jwt", alg: "ES256", jwk: ada.loginKey.publicJwk };
    expect(await ada.ask({ token, proof: forge(ada.loginKey, header, text) })).toEqual(INVALID);
  });
});

describe("an envelope", () => {
  test.each<readonly [string, (good: Record<string, unknown>) => unknown]>([
    ["null", () => null],
    ["a string", (good) => good["proof"]],
    ["a list", (good) => [good]],
    ["a number", () => 1],
    ["false", () => false],
    ["empty", () => ({})],
    ["without the token", ({ proof }) => ({ proof })],
    ["without the proof", ({ token: own }) => ({ token: own })],
    ["with an unknown member", (good) => ({ ...good, idt: good["token"] })],
    [
      "with an unknown member named __proto__",
      (good) =>
        JSON.parse(JSON.stringify(good).replace("{", '{"__proto__":{"polluted":1},')) as unknown,
    ],
    ["with an unknown member named toString", (good) => ({ ...good, toString: "x" })],
    ["with a token that is none", (good) => ({ ...good, token: [good["token"]] })],
    ["with a salt that is null", (good) => ({ ...good, salt: null })],
    ["with a salt that its token has no use for", (good) => ({ ...good, salt: SALT })],
    ["with a delegation that is an object", (good) => ({ ...good, delegation: {} })],
    ["with an empty delegation", (good) => ({ ...good, delegation: "" })],
    [
      "with spare bits set in a signature",
      (good) => ({ ...good, proof: respelt(good["proof"] as string) }),
    ],
    [
      "with a line break in the proof",
      (good) => ({ ...good, proof: `${good["proof"] as string}\n` }),
    ],
    ["with padding", (good) => ({ ...good, proof: `${good["proof"] as string}==` })],
    ["with a fourth segment", (good) => ({ ...good, proof: `${good["proof"] as string}.` })],
    [
      "with an empty signature",
      (good) => ({ ...good, proof: (good["proof"] as string).replace(/[^.]*$/, "") }),
    ],
  ])("%s", async (_, change) => {
    const good = { token, proof: ada.proof(token) };
    expect(await ada.ask(good)).toMatchObject({ kind: "human" });
    expect(await ada.ask(change(good))).toEqual(INVALID);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("that is undefined is none: the next step is asked", async () => {
    expect(await ada.ask(undefined)).toEqual({ kind: "absent" });
  });
});

test.each([
  [8000, { kind: "human" }],
  [13_000, INVALID],
])("with a name of %i bytes: 16 KiB are enough, however good the rest", async (length, result) => {
  const params = { name: "n".repeat(length) };
  const mcp = { method: "tools/call", name: params.name, digest: digest(params) };
  const proof = ada.proof(token, { mcp, txn: undefined });
  const call = { method: "tools/call", params };
  expect(await ada.ask({ token, proof }, { call })).toMatchObject(result);
});

test("a key of one's own proves nothing: it has to be the login's", async () => {
  const thief = await testPair();
  expect(await ada.ask({ token, proof: ada.proof(token, {}, {}, thief) })).toEqual(INVALID);
});

function nested(depth: number): unknown {
  return depth === 0 ? 1 : { a: nested(depth - 1) };
}

function claimsIn(jws: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString()) as Record<
    string,
    unknown
  >;
}

/** 64 bytes leave four bits of the last letter unused: another spelling of the same signature. */
function respelt(jws: string): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = letters.indexOf(jws.at(-1) as string);
  const other = `${jws.slice(0, -1)}${letters[last + 1] as string}`;
  expect(Buffer.from(other.split(".")[2] ?? "", "base64url")).toEqual(
    Buffer.from(jws.split(".")[2] ?? "", "base64url"),
  );
  return other;
}
