// A real identity provider's public face for tests: discovery and keys over HTTP on loopback, and tokens signed with them.
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import {
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTPayload,
  SignJWT,
} from "jose";

/** A key of the issuer. */
export interface TestKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: JWK;
}

/** An issuer that answers. */
export interface TestIssuer {
  readonly issuer: string;
  /** The keys it publishes; change it to rotate. */
  keys: readonly TestKey[];
  /** Set to misbehave: answers instead of the normal handler. */
  broken: RequestListener | undefined;
  /** Requests for the key set so far. */
  readonly fetched: () => number;
  sign(
    payload: JWTPayload,
    options?: { readonly key?: TestKey; readonly header?: Record<string, string> },
  ): Promise<string>;
  close(): Promise<void>;
}

/** Makes a key. */
export async function testKey(kid: string, algorithm = "ES256"): Promise<TestKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: "sig" };
  return { kid, algorithm, privateKey, publicKey, jwk };
}

/** Starts an issuer with one ES256 key. */
export async function testIssuer(): Promise<TestIssuer> {
  let fetched = 0;
  const server = createServer((request, response) => {
    if (self.broken !== undefined) {
      self.broken(request, response);
      return;
    }
    response.setHeader("content-type", "application/json");
    if (request.url === "/.well-known/openid-configuration") {
      response.end(JSON.stringify({ issuer: self.issuer, jwks_uri: `${self.issuer}/keys` }));
    } else if (request.url === "/keys") {
      fetched += 1;
      response.end(JSON.stringify({ keys: self.keys.map(({ jwk }) => jwk) }));
    } else {
      response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const self: TestIssuer = {
    issuer: `http://127.0.0.1:${port}`,
    keys: [await testKey("k1")],
    broken: undefined,
    fetched: () => fetched,
    sign: (payload, { key = self.keys[0] as TestKey, header = {} } = {}) =>
      new SignJWT(payload)
        .setProtectedHeader({ alg: key.algorithm, kid: key.kid, ...header })
        .sign(key.privateKey),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return self;
}
