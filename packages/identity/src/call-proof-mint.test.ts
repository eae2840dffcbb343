import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CallProof, createCallProver, type ProvableCall } from "./call-proof.ts";
import type { Credential } from "./credential.ts";
import { BINDINGS, CALL, SERVER, type TestLogin, testLogin } from "./testing/login.ts";

const never = new AbortController().signal;

let ada: TestLogin;

beforeAll(async () => {
  ada = await testLogin();
});

afterAll(() => ada.close());

function prove(
  credential: Credential | undefined,
  call: ProvableCall = CALL,
): Promise<CallProof | undefined> {
  return createCallProver({ current: () => Promise.resolve(credential) }).prove(
    { ...call, audience: SERVER },
    never,
  );
}

describe("the prover", () => {
  test("makes nothing when nobody is logged in", async () => {
    expect(await prove(undefined)).toBeUndefined();
  });

  test.each(["email", "name", "preferred_username", "groups", "roles", "picture", "address"])(
    "never sends a token with the claim %s",
    async (claim) => {
      const personal = await ada.token("dpop", { [claim]: "very personal" });
      const credential = { ...(await ada.credential("dpop")), token: personal };
      const error = await prove(credential).catch((failure: unknown) => failure);
      expect(error).toMatchObject({ code: "INPUT_INVALID" });
      expect(String(error)).toContain(`claim ${claim};`);
      expect(String(error)).not.toContain("very personal");
    },
  );

  test.each<readonly [string, () => Promise<[Credential, ProvableCall]>]>([
    [
      "an opaque token",
      async () => [{ ...(await ada.credential("dpop")), token: "opaque-secret" }, CALL],
    ],
    [
      "a public key",
      async () => [{ ...(await ada.credential("dpop")), key: ada.callKey.publicJwk }, CALL],
    ],
    [
      "a key of another kind",
      async () => [{ ...(await ada.credential("dpop")), key: { kty: "oct", k: "c2VjcmV0" } }, CALL],
    ],
    [
      "a key that is none",
      async () => [
        { ...(await ada.credential("dpop")), key: { ...ada.callKey.privateJwk, d: "AAAA" } },
        CALL,
      ],
    ],
    [
      "params that are a list",
      async () => [await ada.credential("dpop"), { method: "x", params: [1] }],
    ],
    [
      "a lone surrogate",
      async () => [await ada.credential("dpop"), { method: "x", params: { a: "\ud800" } }],
    ],
    [
      "a name over 16 KiB",
      async () => [
        await ada.credential("dpop"),
        { method: "tools/call", params: { name: "n".repeat(17_000) } },
      ],
    ],
  ])("refuses %s", async (_, given) => {
    const [credential, call] = await given();
    const error = await prove(credential, call).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: "INPUT_INVALID" });
    for (const secret of [credential.token, credential.key.d ?? "-none-"]) {
      expect(String(error)).not.toContain(secret.slice(0, 40));
    }
  });

  test("gives every call a number of its own", async () => {
    const credential = await ada.credential("nonce");
    const proofs = await Promise.all(Array.from({ length: 50 }, () => prove(credential)));
    const numbers = new Set(proofs.map((proof) => claimsIn(proof?.proof ?? "")["jti"]));
    expect(numbers.size).toBe(50);
  });

  test.each(BINDINGS)("signs nothing but what its reader needs (%s)", async (binding) => {
    const proof = await prove(await ada.credential(binding));
    expect(Object.keys(claimsIn(proof?.proof ?? "")).toSorted()).toEqual([
      "ath",
      "aud",
      "iat",
      "jti",
      "mcp",
      "txn",
    ]);
    expect(JSON.stringify(proof)).not.toContain(ada.callKey.privateJwk.d);
  });
});

function claimsIn(jws: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString()) as Record<
    string,
    unknown
  >;
}
