/** Configures oidc-provider: what is on, for whom, for how long. Nothing is left to defaults that would print a notice. */
import type { JWK } from "jose";
import { type Context, errors, Provider, type ResourceServer } from "oidc-provider";
import { deviceCodePage, deviceConfirmPage, deviceDonePage, errorPage } from "./idp-pages.ts";
import type { IdpClient, IdpUser } from "./idp-people.ts";
import { moreClaims, registerTokenExchange } from "./idp-token-exchange.ts";

/** All that makes one provider. Made anew when keys rotate; `adapter` and the secrets stay. */
export interface ProviderSetting {
  readonly issuer: string;
  readonly users: readonly IdpUser[];
  readonly clients: readonly IdpClient[];
  /** Private signing keys; of each algorithm the first signs, the others still verify. */
  readonly keys: readonly JWK[];
  readonly adapter: (model: string) => object;
  readonly cookieSecret: string;
  readonly nonceSecret: Buffer;
  readonly signingAlgorithm: "ES256" | "RS256";
  readonly tokenSeconds: number;
  readonly requireDpopNonce: boolean;
  /** ID tokens name the key of the DPoP proof (`cnf`), as some providers do. */
  readonly confirmIdTokens: boolean;
}

type ConfirmArguments = readonly [
  context: Context,
  form: string,
  client: { readonly clientName?: string; readonly clientId: string },
  device: unknown,
  code: string,
];

const HOUR_SECONDS = 3_600;
const LOGIN_SECONDS = 600;

/** A provider for `setting`, with the token exchange. */
export function createProvider(setting: ProviderSetting): Provider {
  const provider = new Provider(setting.issuer, {
    adapter: setting.adapter,
    clients: setting.clients.map((client) => ({
      id_token_signed_response_alg: setting.signingAlgorithm,
      ...client,
    })),
    jwks: { keys: setting.keys },
    cookies: { keys: [setting.cookieSecret] },
    clientBasedCORS: () => false,
    pkce: { required: () => true },
    scopes: ["openid", "offline_access", "email", "profile"],
    claims: {
      openid: setting.confirmIdTokens ? ["sub", "cnf"] : ["sub"],
      email: ["email"],
      profile: ["name"],
    },
    conformIdTokenClaims: false, // like many a real provider: what a scope gives is in the ID token too
    findAccount: (context: Context, subject: string) => account(setting, context, subject),
    extraTokenClaims: moreClaims,
    expiresWithSession: () => false,
    issueRefreshToken: (_context: Context, client: { grantTypeAllowed(type: string): boolean }) =>
      client.grantTypeAllowed("refresh_token"),
    features: features(setting),
    ttl: lifetimes(setting.tokenSeconds),
    renderError: (context: Context, out: Record<string, string>) => {
      html(context, errorPage(out["error"] ?? "error", out["error_description"] ?? ""));
    },
  });
  return complete(provider, setting);
}

/** What a resource of an MCP server is called: `urn:mcp:…`, or its address. */
function resourceServer(setting: ProviderSetting, resource: string): ResourceServer | undefined {
  const address = URL.parse(resource);
  const isAddress = /^https?:$/.test(address?.protocol ?? "") && address?.pathname.endsWith("/mcp");
  if (!isAddress && !/^urn:mcp:[A-Za-z0-9._:-]{1,128}$/.test(resource)) return undefined;
  return {
    audience: resource,
    scope: "mcp",
    accessTokenFormat: "jwt",
    accessTokenTTL: setting.tokenSeconds,
    jwt: { sign: { alg: setting.signingAlgorithm } },
  };
}

function features(setting: ProviderSetting): Record<string, unknown> {
  return {
    devInteractions: { enabled: false },
    dPoP: {
      enabled: true,
      nonceSecret: setting.nonceSecret,
      requireNonce: () => setting.requireDpopNonce,
    },
    clientCredentials: { enabled: true },
    rpInitiatedLogout: { enabled: false },
    revocation: {
      enabled: true,
      allowedPolicy: (
        _context: Context,
        client: { clientId: string },
        token: { clientId: string },
      ) => client.clientId === token.clientId,
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_context: Context, _client: object, oneOf?: unknown) => oneOf,
      // Of several resources the client has to choose one; without a choice the token is for the provider itself.
      useGrantedResource: (_context: Context, source: { readonly resource?: unknown }) =>
        typeof source.resource === "string",
      getResourceServerInfo: (_context: Context, resource: string) => {
        const server = resourceServer(setting, resource);
        if (server === undefined) throw new errors.InvalidTarget("no such resource");
        return server;
      },
    },
    deviceFlow: {
      enabled: true,
      userCodeInputSource: (context: Context, form: string, _out: unknown, error: unknown) =>
        html(context, deviceCodePage(form, error !== undefined)),
      userCodeConfirmSource: (...[context, form, client, , code]: ConfirmArguments) =>
        html(context, deviceConfirmPage(form, client.clientName ?? client.clientId, code)),
      successSource: (context: Context) => html(context, deviceDonePage()),
    },
  };
}

function lifetimes(tokenSeconds: number): Record<string, number> {
  return {
    AccessToken: tokenSeconds,
    ClientCredentials: tokenSeconds,
    IdToken: tokenSeconds,
    AuthorizationCode: 60,
    DeviceCode: LOGIN_SECONDS,
    Interaction: LOGIN_SECONDS,
    Session: HOUR_SECONDS,
    Grant: 24 * HOUR_SECONDS,
    RefreshToken: 24 * HOUR_SECONDS,
  };
}

function account(setting: ProviderSetting, context: Context, subject: string): object | undefined {
  const user = setting.users.find(({ login, subject: own }) => (own ?? login) === subject);
  if (user === undefined) return undefined;
  return {
    accountId: subject,
    claims: () => {
      const jkt = context.oidc.entities.AccessToken?.jkt; // made after the account was looked up
      return { ...user.claims, ...(jkt === undefined ? {} : { cnf: { jkt } }), sub: subject };
    },
  };
}

/** The token exchange, and refresh tokens that are good for any resource, not just those named at login. */
function complete(provider: Provider, setting: ProviderSetting): Provider {
  const known = (resource: string): ResourceServer | undefined => resourceServer(setting, resource);
  Object.defineProperty(provider.RefreshToken.prototype, "resourceIndicators", {
    get: () => ({ has: (resource: string) => known(resource) !== undefined }),
  });
  registerTokenExchange(provider, {
    issuer: setting.issuer,
    keys: { keys: setting.keys.map(publicHalf) },
    users: setting.users,
    loginClients: setting.clients
      .filter((client) => client["token_endpoint_auth_method"] === "none")
      .map((client) => client.client_id),
    resourceServer: known,
  });
  return provider;
}

const PRIVATE_MEMBERS = new Set(["d", "p", "q", "dp", "dq", "qi"]);

function publicHalf(key: JWK): JWK {
  return Object.fromEntries(
    Object.entries(key).filter(([member]) => !PRIVATE_MEMBERS.has(member)),
  ) as JWK;
}

function html(context: Context, text: string): void {
  context.type = "html";
  context.body = text;
}
