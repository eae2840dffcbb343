// The realm that the tests import: two humans, a login client, two MCP servers, and clients that must not pass.

/** Name of the realm. */
export const REALM = "shop";
/** The MCP server that humans' tokens are for. As a client of the realm it exchanges them for tokens for the next one. */
export const TICKETS = "urn:mcp:tickets";
/** The MCP server behind it. */
export const ARCHIVE = "urn:mcp:archive";
/** Secret of every confidential client. */
export const CLIENT_SECRET = "secret-of-this-test";
/** The humans, and what they type. */
export const USERS = [
  { login: "alice", password: "alice-of-this-test" },
  { login: "bob", password: "bob-of-this-test" },
] as const;

type Json = Readonly<Record<string, unknown>>;

/** The realm, in Keycloak's own format. Built-in client scopes stay as they are: a realm with `clientScopes` would replace them. */
export function keycloakRealm(): Json {
  return {
    realm: REALM,
    enabled: true,
    sslRequired: "none",
    accessTokenLifespan: 300,
    oauth2DevicePollingInterval: 1,
    users: USERS.map(({ login, password }) => ({
      username: login,
      enabled: true,
      emailVerified: true,
      firstName: login,
      lastName: "Example",
      email: `${login}@shop.example`,
      realmRoles: [`default-roles-${REALM}`], // imported users have none, and without it no `offline_access`
      credentials: [{ type: "password", value: password, temporary: false }],
    })),
    clients: [
      loginClient("countersign-cli", [TICKETS]),
      {
        ...loginClient("web-portal", [TICKETS]),
        attributes: { "pkce.code.challenge.method": "S256" },
      },
      loginClient("other-app", []),
      server(TICKETS, { "standard.token.exchange.enabled": "true" }, [ARCHIVE]),
      server(ARCHIVE, {}, []),
      robot(),
    ],
  };
}

/** A public client on a human's machine: PKCE, device flow, tokens bound by DPoP, and `openid` without e-mail and profile. */
function loginClient(clientId: string, audiences: readonly string[]): Json {
  return {
    clientId,
    enabled: true,
    publicClient: true,
    standardFlowEnabled: true,
    directAccessGrantsEnabled: false,
    redirectUris: ["http://127.0.0.1/*"],
    defaultClientScopes: ["basic"],
    optionalClientScopes: ["offline_access"],
    fullScopeAllowed: true,
    attributes: {
      "pkce.code.challenge.method": "S256",
      "oauth2.device.authorization.grant.enabled": "true",
      "dpop.bound.access.tokens": "true",
    },
    protocolMappers: audiences.map(audienceMapper),
  };
}

function server(clientId: string, attributes: Json, audiences: readonly string[]): Json {
  return {
    clientId,
    enabled: true,
    publicClient: false,
    secret: CLIENT_SECRET,
    standardFlowEnabled: false,
    directAccessGrantsEnabled: false,
    defaultClientScopes: ["basic"],
    optionalClientScopes: [],
    fullScopeAllowed: false,
    attributes: { "dpop.bound.access.tokens": "true", ...attributes },
    protocolMappers: audiences.map(audienceMapper),
  };
}

/** Acts for nobody. */
function robot(): Json {
  return {
    ...server("nightly-job", { "dpop.bound.access.tokens": "false" }, [TICKETS]),
    serviceAccountsEnabled: true,
  };
}

function audienceMapper(audience: string): Json {
  return {
    name: `audience ${audience}`,
    protocol: "openid-connect",
    protocolMapper: "oidc-audience-mapper",
    config: { "included.client.audience": audience, "access.token.claim": "true" },
  };
}
