/** Who the demonstration's identity provider knows: two humans, the clients that act for them, and one that acts for nobody. */

/** A human with an account. */
export interface IdpUser {
  readonly login: string;
  readonly password: string;
  /** `sub` in tokens; the login when absent. */
  readonly subject?: string;
  /** What else is known: `email`, `name` … given out only for the scopes `email` and `profile`. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Client metadata as registered (RFC 7591 names). */
export type IdpClient = Readonly<Record<string, unknown>> & { readonly client_id: string };

/** Passwords of a provider that listens on loopback and forgets everything when it ends. */
export const DEMO_USERS: readonly IdpUser[] = [
  {
    login: "alice",
    password: "alice-demo",
    claims: { name: "Alice Example", email: "alice@shop.example" },
  },
  {
    login: "bob",
    password: "bob-demo",
    claims: { name: "Bob Example", email: "bob@shop.example" },
  },
];

/** The grant type of RFC 8693. */
export const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

/** A public client on a human's machine: any port, one of a few paths (RFC 8252, 7.3). */
function onThisMachine(id: string, name: string): IdpClient {
  return {
    client_id: id,
    client_name: name,
    application_type: "native",
    token_endpoint_auth_method: "none",
    redirect_uris: ["127.0.0.1", "[::1]"].flatMap((host) =>
      ["/", "/callback", "/cb"].map((path) => `http://${host}${path}`),
    ),
    response_types: ["code"],
    grant_types: [
      "authorization_code",
      "refresh_token",
      "urn:ietf:params:oauth:grant-type:device_code",
    ],
    require_auth_time: true,
  };
}

/** A confidential client that only ever talks to the token endpoint. */
function service(id: string, grants: readonly string[]): IdpClient {
  return {
    client_id: id,
    client_secret: `${id}-secret`,
    token_endpoint_auth_method: "client_secret_basic",
    redirect_uris: [],
    response_types: [],
    grant_types: grants,
  };
}

/** `countersign login` is `countersign-cli`; `other-app` is a relying party that nobody here trusts. */
export const DEMO_CLIENTS: readonly IdpClient[] = [
  onThisMachine("countersign-cli", "Countersign"),
  onThisMachine("other-app", "Another application"),
  service("tickets-server", [TOKEN_EXCHANGE]),
  service("billing-server", [TOKEN_EXCHANGE]),
  service("nightly-job", ["client_credentials"]),
];
