/** The little of oidc-provider 9.13 that the demonstration's identity provider uses; the package has no types of its own. */
declare module "oidc-provider" {
  import type { IncomingMessage, ServerResponse } from "node:http";

  /** A request on its way through the provider (a Koa context). */
  export interface Context {
    readonly state: Record<string, unknown>;
    readonly oidc: {
      readonly client: Client;
      readonly params: Readonly<Record<string, unknown>>;
      readonly entities: {
        readonly AccessToken?: { readonly jkt?: string };
        readonly AuthorizationCode?: { readonly authTime?: number };
        readonly DeviceCode?: { readonly authTime?: number };
        readonly RefreshToken?: { readonly authTime?: number };
      };
    };
    type: string;
    body: unknown;
  }
  export interface Client {
    readonly clientId: string;
    readonly clientName?: string;
    grantTypeAllowed(type: string): boolean;
  }
  export interface ResourceServer {
    readonly audience: string;
    readonly scope: string;
    readonly accessTokenFormat: "jwt";
    readonly accessTokenTTL: number;
    readonly jwt: { readonly sign: { readonly alg: string } };
  }
  export interface AccessToken {
    resourceServer: object;
    readonly expiration: number;
    readonly tokenType: string;
    setThumbprint(kind: "jkt", thumbprint: string): void;
    save(): Promise<string>;
  }
  export interface Grant {
    addOIDCScope(scope: string): void;
    addOIDCClaims(claims: readonly string[]): void;
    addResourceScope(resource: string, scope: string): void;
    save(): Promise<string>;
  }
  export interface InteractionDetails {
    readonly uid: string;
    readonly prompt: {
      readonly name: string;
      readonly details: {
        readonly missingOIDCScope?: readonly string[];
        readonly missingOIDCClaims?: readonly string[];
        readonly missingResourceScopes?: Readonly<Record<string, readonly string[]>>;
      };
    };
    readonly params: Readonly<Record<string, string | undefined>>;
    readonly grantId?: string;
    readonly session?: { readonly accountId: string };
  }
  export class Provider {
    constructor(issuer: string, configuration: Readonly<Record<string, unknown>>);
    readonly issuer: string;
    readonly AccessToken: new (members: Record<string, unknown>) => AccessToken;
    readonly RefreshToken: { readonly prototype: object };
    readonly ResourceServer: new (identifier: string, info: ResourceServer) => object;
    readonly Client: { find(id: string): Promise<Client | undefined> };
    readonly Grant: {
      new (members: { accountId: string; clientId: string }): Grant;
      find(id: string): Promise<Grant | undefined>;
    };
    callback(): (request: IncomingMessage, response: ServerResponse) => void;
    on(event: "error" | "server_error", listener: (...args: readonly unknown[]) => void): this;
    registerGrantType(
      name: string,
      handler: (context: Context) => Promise<void>,
      parameters: readonly string[],
      repeatable?: readonly string[],
    ): void;
    interactionDetails(
      request: IncomingMessage,
      response: ServerResponse,
    ): Promise<InteractionDetails>;
    interactionFinished(
      request: IncomingMessage,
      response: ServerResponse,
      result: Readonly<Record<string, unknown>>,
      options: { readonly mergeWithLastSubmission: boolean },
    ): Promise<void>;
  }
  type ErrorClass = new (description: string) => Error;
  export const errors: Readonly<
    Record<"InvalidGrant" | "InvalidRequest" | "InvalidTarget", ErrorClass>
  >;
}

declare module "oidc-provider/lib/adapters/memory_adapter.js" {
  /** A store of at most 1,000 entries for one provider. */
  export function createMemoryAdapter(): (model: string) => object;
}

declare module "oidc-provider/lib/helpers/validate_dpop.js" {
  import type { Context, Provider } from "oidc-provider";
  export interface DpopProof {
    readonly thumbprint: string;
  }
  export default function validateDpop(
    provider: Provider,
    context: Context,
  ): Promise<DpopProof | undefined>;
  export function checkDpopReplay(
    provider: Provider,
    context: Context,
    proof: DpopProof,
    clientId: string,
  ): Promise<void>;
}
