import { generateKeyPairSync } from "node:crypto";
import type { Credential, CredentialSource } from "@countersign/identity";
import { META_CALL_PROOF } from "@countersign/model";
import type { Message } from "../call-proofs.ts";

type Json = Record<string, unknown>;

/** A login token that nobody verifies here. */
export function tokenWith(claims: Json): string {
  const part = (value: Json): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256" })}.${part(claims)}.c2ln`;
}

/** Of somebody who is logged in. */
export const credential: Credential = {
  token: tokenWith({ sub: "alice" }),
  key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }),
  expiresAtMs: Date.now() + 600_000,
};
/** Gives that credential to everybody. */
export function source(): CredentialSource {
  return { current: async () => credential };
}
/** What a proof says, unverified: that it holds is proven where it is verified. */
export function claimsIn(message: Message): Json {
  const { _meta: meta } = message["params"] as { _meta: Record<string, { proof: string }> };
  const payload = meta[META_CALL_PROOF]?.proof.split(".")[1] ?? "";
  return JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as Json;
}
