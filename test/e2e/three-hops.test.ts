// A human, an agent, a server that asks another server: each hop knows the same human, and has a token of its own.
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type RunningIdp, signIn, startIdp } from "@countersign/demo/idp";
import { META_CALL_PROOF } from "@countersign/model";
import { decodeJwt, exportJWK } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChainResult, type Hop, type HopRecord, runChain } from "./fixtures/hops/chain.ts";
import {
  authorizationRequest,
  makeProofKey,
  REDIRECT_URI,
  requestToken,
} from "./fixtures/idp/oauth-client.ts";
import { needlesOf, searchBytes } from "./leak-search.ts";

const TICKETS: Hop = {
  name: "tickets-server",
  transport: "stdio",
  secret: "tickets-server-secret",
};
const BILLING: Hop = { name: "billing-server", transport: "http", secret: "billing-server-secret" };
const ARCHIVE: Hop = { name: "archive", transport: "http" };

let idp: RunningIdp;
let traces: Server;
let spans: Buffer[];

beforeAll(async () => {
  idp = await startIdp();
  traces = createServer((request, response) => {
    request.on("data", (chunk: Buffer) => spans.push(chunk));
    request.on("end", () => response.writeHead(200).end("{}"));
  }).listen(0, "127.0.0.1");
  await once(traces, "listening");
});

beforeEach(() => {
  spans = [];
});

afterAll(async () => {
  traces.closeAllConnections();
  traces.close();
  await idp.stop();
});

interface Login {
  readonly token: string;
  readonly key: { readonly d?: string };
  readonly expiresAtMs: number;
}

/** A login of the agent's human: an access token for the first server, bound to a key of this login. */
async function login(user: string): Promise<Login> {
  const proofKey = await makeProofKey();
  const resource = `urn:mcp:${TICKETS.name}`;
  const { url, verifier } = authorizationRequest(idp.issuer, { resource });
  const { redirectUrl = "" } = await signIn({
    issuer: idp.issuer,
    authorizationUrl: url,
    user,
    follow: false,
  });
  const { access_token: token = "" } = await requestToken(
    idp.issuer,
    {
      grant_type: "authorization_code",
      client_id: "countersign-cli",
      redirect_uri: REDIRECT_URI,
      code: new URL(redirectUrl).searchParams.get("code") ?? "",
      code_verifier: verifier,
      resource,
    },
    { key: proofKey },
  );
  return { token, key: await exportJWK(proofKey.privateKey), expiresAtMs: Date.now() + 300_000 };
}

async function chain(
  hops: readonly Hop[],
  given: { readonly login: Login; readonly calls?: readonly string[] },
): Promise<ChainResult> {
  return runChain({
    calls: ["T-1"],
    ...given,
    hops,
    issuer: idp.issuer,
    tracesEndpoint: `http://127.0.0.1:${(traces.address() as { port: number }).port}`,
  });
}

/** The proofs that were sent to a server. */
function proofsIn({
  wire,
}: HopRecord): readonly { readonly token: string; readonly proof: string }[] {
  const found = wire.matchAll(new RegExp(`"${META_CALL_PROOF}":(\\{[^}]*\\})`, "g"));
  return [...found].map(([, json]) => JSON.parse(json ?? "") as { token: string; proof: string });
}

/** Where any of these secrets is, in any of these texts, in any form. */
function leaks(
  secrets: Readonly<Record<string, string>>,
  places: Readonly<Record<string, string>>,
): readonly string[] {
  const needles = Object.entries(secrets).flatMap(([name, secret]) => needlesOf(name, secret));
  return Object.entries(places).flatMap(([place, content]) =>
    searchBytes(place, Buffer.from(content, "latin1"), needles).map(
      ({ where, needle }) => `${needle} in ${where}`,
    ),
  );
}

describe.each<readonly [string, Hop]>([
  ["over STDIO", { ...ARCHIVE, transport: "stdio" }],
  ["over HTTP", ARCHIVE],
])("agent, server, second server %s", (_, archive) => {
  test("the same human in all records, another agent at each hop, and no inbound proof beyond the first server", async () => {
    const human = await login("alice");
    const { answers, hops, stderr } = await chain([TICKETS, archive], { login: human });
    expect(answers).toEqual(["tickets-server > archive"]);
    const [first, second] = hops as [HopRecord, HopRecord];

    const [one] = first.decisions;
    const [two] = second.decisions;
    expect(one).toMatchObject({
      reason: "permitted",
      human: { issuer: idp.issuer, subject: "alice", assurance: "call_bound" },
      agent: { id: "countersign-cli" },
    });
    expect(one).not.toHaveProperty("agent.actors");
    expect(two).toMatchObject({
      reason: "permitted",
      human: { issuer: idp.issuer, subject: "alice", assurance: "call_bound" },
      agent: {
        id: "tickets-server",
        actors: [{ issuer: idp.issuer, subject: "tickets-server" }],
      },
    });
    expect(two?.human?.binding?.jkt).not.toBe(one?.human?.binding?.jkt);
    expect([first.decisions.length, second.decisions.length]).toEqual([1, 1]);

    // What arrived: at the first server the agent's proof, at the second one of the first server's own.
    const [inbound, ...noMore] = proofsIn(first).filter(({ proof }) => aboutTool(proof));
    const [own] = proofsIn(second).filter(({ proof }) => aboutTool(proof));
    expect(inbound?.token).toBe(human.token);
    expect(noMore).toEqual([]);
    expect(own?.token).not.toBe(human.token);
    expect(decodeJwt(own?.token ?? "")).toMatchObject({
      sub: "alice",
      client_id: "tickets-server",
    });

    const secrets = secretsOf(human, proofsIn(first));
    const places = {
      "what the first handler saw": first.seen,
      "what the second handler saw": second.seen,
      "what was sent to the second server": second.wire,
      "the first journal": first.journal,
      "the second journal": second.journal,
      stderr,
    };
    expect(Object.entries(places).filter(([, text]) => text === "" && text !== stderr)).toEqual([]);
    expect(
      leaks(secrets, { ...places, "the spans": Buffer.concat(spans).toString("latin1") }),
    ).toEqual([]);
    expect(spans.length).toBeGreaterThan(0);
    // The search finds what it looks for.
    expect(leaks(secrets, { wire: first.wire }).length).toBeGreaterThanOrEqual(2);
    // Its own proof is as hidden from the second server's handler.
    const next = secretsOf({ token: own?.token ?? "" }, proofsIn(second));
    expect(leaks(next, { seen: second.seen, journal: second.journal, stderr })).toEqual([]);
    for (const { seen } of hops) expect(seen).not.toContain(META_CALL_PROOF);
  });
});

test("without a token service the second server does not know who asks", async () => {
  const human = await login("alice");
  const { secret: _secret, ...alone } = TICKETS;
  const { answers, hops } = await chain([alone, ARCHIVE], { login: human });
  expect(answers).toEqual(["tickets-server > denied"]);
  const [first, second] = hops as [HopRecord, HopRecord];
  expect(first.decisions).toMatchObject([{ reason: "permitted" }]);
  expect(second.decisions).toMatchObject([
    { decision: "deny", reason: "identity_missing", effect: "block" },
  ]);
  expect(second.decisions[0]).not.toHaveProperty("human");
  expect(second.seen).toBe("");
  expect(second.wire).not.toContain(META_CALL_PROOF);
  expect(leaks(secretsOf(human, proofsIn(first)), { wire: second.wire })).toEqual([]);
});

test("a token service that does not know the server: the call is not sent", async () => {
  const human = await login("alice");
  const stranger = { ...TICKETS, secret: "wrong" };
  const { answers, hops } = await chain([stranger, { ...ARCHIVE, transport: "stdio" }], {
    login: human,
  });
  expect(answers).toEqual(["tickets-server > REJECTED"]);
  expect(hops[1]?.wire).toContain("initialize");
  expect(hops[1]?.wire).not.toContain("tools/call");
  expect(hops[1]?.decisions).toEqual([]);
});

test("what the second server decides, it decides on the human, not on the server that asks", async () => {
  const human = await login("bob");
  const open = { ...TICKETS, readers: ["alice", "bob"] };
  const { answers, hops } = await chain([open, ARCHIVE], { login: human });
  expect(answers).toEqual(["tickets-server > denied"]);
  expect(hops[0]?.decisions).toMatchObject([{ reason: "permitted", human: { subject: "bob" } }]);
  expect(hops[1]?.decisions).toMatchObject([
    { reason: "forbidden", human: { subject: "bob" }, agent: { id: "tickets-server" } },
  ]);
  expect(hops[1]?.seen).toBe("");
});

test("a third server: who acts is recorded outermost first, and the human stays who it is", async () => {
  const human = await login("alice");
  const { answers, hops } = await chain([TICKETS, BILLING, ARCHIVE], {
    login: human,
    calls: ["T-1", "T-1"],
  });
  expect(answers).toEqual(Array(2).fill("tickets-server > billing-server > archive"));
  expect(hops.map(({ decisions }) => decisions.map(verifiedAgent))).toEqual([
    [{ id: "countersign-cli" }, { id: "countersign-cli" }],
    [actingAs("tickets-server"), actingAs("tickets-server")],
    [actingAs("billing-server", "tickets-server"), actingAs("billing-server", "tickets-server")],
  ]);
  const humans = hops.flatMap(({ decisions }) => decisions.map((decision) => decision.human));
  expect(new Set(humans.map((one) => `${one?.issuer} ${one?.subject}`)).size).toBe(1);
  const tokens = hops.map((hop) => new Set(proofsIn(hop).map(({ token }) => token)));
  expect(tokens.map(({ size }) => size)).toEqual([1, 1, 1]);
  expect(new Set(tokens.flatMap((one) => [...one])).size).toBe(3);
});

/** Without what it says of itself. */
function verifiedAgent({ agent }: HopRecord["decisions"][number]): object {
  const { claimed: _claimed, ...verified } = agent ?? {};
  return verified;
}

/** The last of those that act has the token. */
function actingAs(...clients: readonly string[]): object {
  return { id: clients[0], actors: clients.map((subject) => ({ issuer: idp.issuer, subject })) };
}

/** A token's signature finds it even where its claims were taken out; the key is what would make the rest usable. */
function secretsOf(
  login_: { readonly token: string; readonly key?: { readonly d?: string } },
  proofs: readonly { readonly proof: string }[],
): Record<string, string> {
  const secrets: Record<string, string> = {
    token: login_.token,
    "signature of the token": login_.token.split(".")[2] ?? "",
    ...(login_.key?.d === undefined ? {} : { key: login_.key.d }),
  };
  for (const [index, { proof }] of proofs.entries()) {
    secrets[`signature of proof ${index}`] = proof.split(".")[2] ?? "";
  }
  return secrets;
}

function aboutTool(proof: string): boolean {
  return (decodeJwt(proof)["mcp"] as { readonly method: string }).method === "tools/call";
}
