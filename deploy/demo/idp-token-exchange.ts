/**
 * Token exchange (RFC 8693): a server that was called for a human gets a token of its own for the next server. `sub` stays the
 * human; `act` names who acts, the latest outermost, with everybody before inside.
 */
import { createLocalJWKSet, type JSONWebKeySet, type JWTPayload, jwtVerify } from "jose";
import { type Context, errors, Provider, type ResourceServer } from "oidc-provider";
import validateDpop, { checkDpopReplay } from "oidc-provider/lib/helpers/validate_dpop.js";
import { type IdpUser, TOKEN_EXCHANGE } from "./idp-people.ts";

/** What the exchange has to know of its provider. */
export interface ExchangeSetting {
  readonly issuer: string;
  /** Public keys of the tokens that this provider made. */
  readonly keys: JSONWebKeySet;
  readonly users: readonly IdpUser[];
  /** Clients whose ID tokens may be exchanged. */
  readonly loginClients: readonly string[];
  /** `undefined`: no such resource. */
  readonly resourceServer: (resource: string) => ResourceServer | undefined;
}

const TOKEN_TYPE = "urn:ietf:params:oauth:token-type:";
const PARAMETERS = [
  "subject_token",
  "subject_token_type",
  "actor_token",
  "actor_token_type",
  "requested_token_type",
  "resource",
  "audience",
  "scope",
] as const;
const MAX_ACTORS = 8;

/** Adds the grant to a provider. */
export function registerTokenExchange(provider: Provider, setting: ExchangeSetting): void {
  provider.registerGrantType(
    TOKEN_EXCHANGE,
    (context) => exchange(provider, setting, context),
    PARAMETERS,
  );
}

/** What a token says beyond the ordinary: who acts, if it was exchanged, and when the human logged in (RFC 9068, section 2.2.1). */
export function moreClaims(context: Context): Readonly<Record<string, unknown>> {
  const exchanged = context.state["exchanged"];
  if (exchanged !== undefined) return exchanged as Readonly<Record<string, unknown>>;
  const { RefreshToken, AuthorizationCode, DeviceCode } = context.oidc.entities;
  const authTime = (RefreshToken ?? AuthorizationCode ?? DeviceCode)?.authTime;
  return authTime === undefined ? {} : { auth_time: authTime };
}

async function exchange(
  provider: Provider,
  setting: ExchangeSetting,
  context: Context,
): Promise<void> {
  const { client, params } = context.oidc;
  // Better refused than ignored: a caller must not believe that its actor token was looked at.
  if (params["actor_token"] !== undefined) {
    throw new errors.InvalidRequest("actor_token is not supported; the client is the actor");
  }
  const [resource, server] = target(setting, params);
  const subject = await verifySubject(setting, params);
  const proof = await validateDpop(provider, context);
  if (proof === undefined) throw new errors.InvalidRequest("a DPoP proof is required");
  await checkDpopReplay(provider, context, proof, client.clientId);
  const remainingSeconds = (subject.exp ?? 0) - Math.floor(Date.now() / 1000);
  const token = new provider.AccessToken({
    accountId: subject.sub,
    client,
    gty: TOKEN_EXCHANGE,
    expiresIn: Math.max(1, Math.min(server.accessTokenTTL, remainingSeconds)),
  });
  token.resourceServer = new provider.ResourceServer(resource, server);
  token.setThumbprint("jkt", proof.thumbprint);
  const { act, auth_time } = subject;
  const before = auth_time === undefined ? {} : { auth_time };
  context.state["exchanged"] = { ...before, act: actor(client.clientId, act) };
  context.body = {
    access_token: await token.save(),
    issued_token_type: `${TOKEN_TYPE}access_token`,
    token_type: token.tokenType,
    expires_in: token.expiration,
  };
}

function target(
  setting: ExchangeSetting,
  params: Readonly<Record<string, unknown>>,
): readonly [string, ResourceServer] {
  const asked = params["resource"] ?? params["audience"];
  const server = typeof asked === "string" ? setting.resourceServer(asked) : undefined;
  if (typeof asked !== "string" || server === undefined) {
    throw new errors.InvalidTarget("one known resource or audience is required");
  }
  return [asked, server];
}

/** An access token for an MCP server, or an ID token that a login gave; of a human, by this provider, in force. */
async function verifySubject(
  setting: ExchangeSetting,
  params: Readonly<Record<string, unknown>>,
): Promise<JWTPayload> {
  const kind = String(params["subject_token_type"]).replace(TOKEN_TYPE, "");
  if (kind !== "access_token" && kind !== "id_token") {
    throw new errors.InvalidRequest("subject_token_type must be access_token or id_token");
  }
  const keys = createLocalJWKSet(setting.keys);
  const options = { issuer: setting.issuer, algorithms: ["ES256", "RS256"] };
  const verified = await jwtVerify(String(params["subject_token"]), keys, options).catch(() => {
    throw new errors.InvalidGrant("subject_token is not valid");
  });
  const { payload, protectedHeader } = verified;
  const isAccessToken = protectedHeader.typ === "at+jwt";
  if (isAccessToken !== (kind === "access_token")) {
    throw new errors.InvalidGrant("subject_token is not of subject_token_type");
  }
  const audience = typeof payload.aud === "string" ? payload.aud : "";
  const forUs = isAccessToken
    ? setting.resourceServer(audience) !== undefined
    : setting.loginClients.includes(audience);
  const human = setting.users.some(({ subject, login }) => (subject ?? login) === payload.sub);
  if (!forUs || !human) throw new errors.InvalidGrant("subject_token may not be exchanged");
  return payload;
}

interface Actor {
  readonly sub: string;
  readonly act?: Actor;
}

function actor(clientId: string, before: unknown): Actor {
  let depth = 1;
  for (let next = before as Actor | undefined; next !== undefined; next = next.act) depth += 1;
  if (depth > MAX_ACTORS) throw new errors.InvalidGrant("subject_token has too many actors");
  return before === undefined ? { sub: clientId } : { sub: clientId, act: before as Actor };
}
