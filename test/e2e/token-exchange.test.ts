// Token exchange with a real oidc-provider: by secret and by key, with a nonce that it demands, of both kinds of token.
import {
  type Credential,
  exchangedCredentialSource,
  type ExchangeOptions,
  runWithSubject,
  type SubjectToken,
} from "@countersign/identity";
import { type IdpClient, type RunningIdp, signIn, startIdp } from "@countersign/demo/idp";
import { calculateJwkThumbprint, decodeJwt, exportJWK, generateKeyPair, type JWK } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  authorizationRequest,
  makeProofKey,
  REDIRECT_URI,
  requestToken,
} from "./fixtures/idp/oauth-client.ts";

const RESOURCE = "urn:mcp:tickets";
const NEXT = "urn:mcp:archive";
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const signal = new AbortController().signal;

let idp: RunningIdp;
let demanding: RunningIdp;
let mailKey: JWK;

beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  mailKey = { ...(await exportJWK(privateKey)), alg: "ES256", kid: "mail-1" };
  const jwk = { ...(await exportJWK(publicKey)), alg: "ES256", kid: "mail-1" };
  const mail: IdpClient = {
    client_id: "mail-server",
    token_endpoint_auth_method: "private_key_jwt",
    jwks: { keys: [jwk] },
    redirect_uris: [],
    response_types: [],
    grant_types: [EXCHANGE],
  };
  [idp, demanding] = await Promise.all([
    startIdp({ clients: [mail] }),
    startIdp({ requireDpopNonce: true }),
  ]);
});

afterAll(() => Promise.all([idp.stop(), demanding.stop()]));

/** Both tokens of a login at a provider. */
async function tokensOf({
  issuer,
}: RunningIdp): Promise<Record<"access_token" | "id_token", SubjectToken>> {
  const { url, verifier } = authorizationRequest(issuer, { resource: RESOURCE });
  const end = await signIn({ issuer, authorizationUrl: url, user: "alice", follow: false });
  const fields = {
    grant_type: "authorization_code",
    client_id: "countersign-cli",
    redirect_uri: REDIRECT_URI,
    code: new URL(end.redirectUrl ?? "").searchParams.get("code") ?? "",
    code_verifier: verifier,
    resource: RESOURCE,
  };
  const key = await makeProofKey();
  const first = await requestToken(issuer, fields, { key });
  const nonce = first.dpopNonce;
  const answer =
    first.error === "use_dpop_nonce" && nonce !== undefined
      ? await requestToken(issuer, fields, { key, nonce })
      : first;
  const { access_token: access = "", id_token: id = "" } = answer;
  expect([access, id]).not.toContain("");
  return { access_token: subject("access_token", access), id_token: subject("id_token", id) };
}

function subject(kind: SubjectToken["kind"], token: string): SubjectToken {
  return { kind, reveal: () => token };
}

function exchange(
  of: SubjectToken,
  at: RunningIdp = idp,
  more: Partial<ExchangeOptions> & { readonly audience?: string } = {},
): Promise<Credential | undefined> {
  const { audience = NEXT, ...options } = more;
  const source = exchangedCredentialSource({
    issuer: at.issuer,
    clientId: "tickets-server",
    ...(options.clientKey === undefined ? { clientSecret: "tickets-server-secret" } : {}),
    ...options,
  });
  return runWithSubject(of, () => source.current(audience, signal));
}

test.each(["access_token", "id_token"] as const)(
  "an %s: the same human, for the next server, bound to a key of this process, and who acts",
  async (kind) => {
    const { [kind]: inbound } = await tokensOf(idp);
    const credential = (await exchange(inbound)) as Credential;
    expect(decodeJwt(credential.token)).toMatchObject({
      iss: idp.issuer,
      sub: "alice",
      aud: NEXT,
      client_id: "tickets-server",
      act: { sub: "tickets-server" },
      cnf: { jkt: await calculateJwkThumbprint(credential.key) },
    });
    expect(credential.token).not.toBe(inbound.reveal());
    const second = { clientId: "billing-server", clientSecret: "billing-server-secret" };
    const further = await exchange(subject("access_token", credential.token), idp, second);
    expect(decodeJwt(further?.token ?? "")).toMatchObject({
      sub: "alice",
      act: { sub: "billing-server", act: { sub: "tickets-server" } },
    });
  },
);

test("a client that signs instead of knowing a secret", async () => {
  const { access_token } = await tokensOf(idp);
  const credential = await exchange(access_token, idp, {
    clientId: "mail-server",
    clientKey: mailKey,
  });
  expect(decodeJwt(credential?.token ?? "")).toMatchObject({ client_id: "mail-server" });
});

test("a provider that demands a nonce in the proof of possession", async () => {
  const { access_token } = await tokensOf(demanding);
  expect(await exchange(access_token, demanding)).toBeDefined();
});

test.each([
  [
    "an audience that it does not know",
    { audience: "https://archive.example/other" },
    "invalid_target",
  ],
  ["a wrong secret", { clientSecret: "wrong" }, "invalid_client"],
  [
    "a client that may not exchange",
    { clientId: "nightly-job", clientSecret: "nightly-job-secret" },
    "invalid_request",
  ],
])("refused: %s", async (_, more, reason) => {
  const { access_token } = await tokensOf(idp);
  await expect(exchange(access_token, idp, more)).rejects.toMatchObject({
    code: "REJECTED",
    message: expect.stringContaining(reason) as string,
  });
});

test("refused: a token that the provider did not sign in this life", async () => {
  const { access_token } = await tokensOf(idp);
  await idp.rotateKeys({ retire: true });
  await expect(exchange(access_token)).rejects.toMatchObject({
    code: "REJECTED",
    message: expect.stringContaining("invalid_grant") as string,
  });
});
