import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ask,
  AUDIENCE,
  type Mood,
  refusal,
  type TestTokenEndpoint,
  testTokenEndpoint,
} from "./testing/token-endpoint.ts";

let service: TestTokenEndpoint;

beforeEach(async () => {
  service = await testTokenEndpoint();
});

afterEach(() => service.close());

describe("an answer that is not used", () => {
  const now = Math.floor(Date.now() / 1000);

  test.each<readonly [string, Mood]>([
    ["for another subject", { claims: { sub: "eve" } }],
    ["for no subject", { claims: { sub: undefined as unknown as string } }],
    ["of another issuer", { claims: { iss: "https://evil.example" } }],
    ["for another audience", { claims: { aud: "urn:mcp:other" } }],
    ["for no audience", { claims: { aud: undefined as unknown as string } }],
    ["bound to another key", { claims: { cnf: { jkt: "x" } } }],
    ["bound to no key", { claims: { cnf: undefined } }],
    ["a bearer token", { body: { token_type: "Bearer" } }],
    ["acting as somebody else", { claims: { act: { sub: "x" }, client_id: "x" } }],
    ["acting as nobody", { claims: { act: undefined, client_id: undefined } }],
    ["expired", { claims: { exp: now - 1 } }],
    ["without an expiry", { claims: { exp: undefined as unknown as number } }],
    ["an opaque token", { body: { access_token: "opaque" } }],
    ["a token that is too large", { claims: { filler: "x".repeat(16_000) } }],
    ["an answer that is no JSON", { raw: "<html>" }],
    ["an answer without a token", { raw: "{}" }],
    ["refused", { status: 400, raw: JSON.stringify({ error: "invalid_target" }) }],
    ["refused without a reason", { status: 403, raw: "{}" }],
  ])("%s", async (_, given) => {
    service.mood = given;
    const error = await refusal(ask(service.source(), await service.inbound()));
    expect(error.code).toBe("REJECTED");
    expect(error.message).toMatch(/^identity\/exchange: /);
  });

  test.each(["invalid_target", "interaction_required", "temporarily_unavailable"])(
    "refused with %s, which is said",
    async (name) => {
      service.mood = { status: 400, raw: JSON.stringify({ error: name }) };
      expect(await refusal(ask(service.source(), await service.inbound()))).toMatchObject({
        code: "REJECTED",
        message: `identity/exchange: the token service refused the exchange: ${name}`,
      });
    },
  );

  test("the human's own token, given back", async () => {
    const subject = await service.inbound({
      aud: AUDIENCE,
      exp: now + 300,
      azp: "tickets-server",
      cnf: { jkt: "x" },
    });
    service.mood.body = { access_token: subject.reveal() };
    expect((await refusal(ask(service.source(), subject))).message).toContain("own token back");
  });

  test.each<readonly [string, Mood]>([
    ["500", { status: 500, raw: "{}" }],
    ["429", { status: 429, raw: "{}" }],
    ["an answer of 300 KB", { raw: JSON.stringify({ access_token: "x".repeat(300_000) }) }],
    ["a redirect", { redirect: "https://evil.example/token" }],
    ["a discovery document of another issuer", { metadata: { issuer: "https://evil.example" } }],
  ])("UNAVAILABLE: %s", async (_, given) => {
    service.mood = given;
    expect(await refusal(ask(service.source(), await service.inbound()))).toMatchObject({
      code: "UNAVAILABLE",
    });
  });

  test.each([undefined, "http://evil.example/token"])(
    "UNAVAILABLE: a token endpoint that is %s, and no token goes there",
    async (endpoint) => {
      service.mood.metadata = { token_endpoint: endpoint };
      expect(await refusal(ask(service.source(), await service.inbound()))).toMatchObject({
        code: "UNAVAILABLE",
        message: expect.stringContaining("no usable token_endpoint") as string,
      });
    },
  );

  test("UNAVAILABLE: no answer in time, and the next call asks again", async () => {
    service.mood.never = true;
    const from = service.source({ timeoutMs: 50 });
    const subject = await service.inbound();
    expect(await refusal(ask(from, subject))).toMatchObject({ code: "UNAVAILABLE" });
    expect(await refusal(ask(from, subject))).toMatchObject({ code: "UNAVAILABLE" });
    expect(service.asked).toHaveLength(2);
  });

  test("UNAVAILABLE: nobody there", async () => {
    const subject = await service.inbound();
    const from = service.source();
    const { issuer } = service;
    await service.close();
    expect(await refusal(ask(from, subject))).toMatchObject({
      code: "UNAVAILABLE",
      message: `identity/exchange: the token service cannot be asked: no answer from ${issuer}`,
    });
  });

  test("no token, secret or word of the service in an error", async () => {
    const subject = await service.inbound();
    for (const given of [
      {
        status: 400,
        raw: JSON.stringify({
          error: `x ${subject.reveal()}`,
          error_description: subject.reveal(),
        }),
      },
      { claims: { sub: "eve" } },
      { raw: `{"access_token":"${subject.reveal()}"` },
    ] satisfies Mood[]) {
      service.mood = given;
      // oxlint-disable-next-line no-await-in-loop -- the mood is one for all
      const error = await refusal(ask(service.source(), subject));
      const shown = inspect(error, { depth: 9, showHidden: true });
      expect(shown).not.toContain(subject.reveal());
      expect(shown).not.toContain("s&cret");
      expect(shown).not.toContain("eve");
    }
  });
});
