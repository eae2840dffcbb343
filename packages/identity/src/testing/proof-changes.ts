// Valid proofs, and everything that can be done to one: its bytes, its envelope, its claims and header (signed again by the right
// key, by a thief, or not at all), its token, and the call that it is about. None may be accepted.
import { isDeepStrictEqual } from "node:util";
import { canonicalJson } from "@countersign/model";
import * as fc from "fast-check";
import type { CallEvidence } from "../resolver.ts";
import {
  CALL,
  type Changes,
  encode,
  forge,
  SERVER,
  sha256,
  type TestLogin,
  type TestPair,
  TRACE_ID,
} from "./login.ts";

type Json = Readonly<Record<string, unknown>>;
/** What a proof is about. */
export type Request = NonNullable<CallEvidence["request"]>;

/** One attempt. `undefined`: the change has no effect that matters (another valid number, say), so nothing is tried. */
export type Attempt = { readonly proof: unknown; readonly request: Request } | undefined;

/** A valid proof. */
export interface Base {
  readonly envelope: Readonly<Record<string, string>>;
  /** Who signed the proof. */
  readonly signer: TestPair;
}

/** Whose proofs they are. */
export interface Scene {
  readonly login: TestLogin;
  readonly thief: TestPair;
  readonly bases: readonly Base[];
  readonly now: number;
}

const EDIT = fc.record({
  at: fc.nat(),
  op: fc.constantFrom("replace", "insert", "delete", "cut", "double"),
  letter: fc.constantFrom(...Array.from('AQgw_-09zZ.=+/ \n\0"é~')),
});
const VALUE = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom("__proto__", SERVER, TRACE_ID, CALL.method),
);
const NAMES =
  "name method digest jkt aud iat exp jti ath txn cnf mcp typ alg jwk kid jku crit sub x5c x5u b64 iss azp nonce __proto__ constructor toString";
const NAME = fc.oneof(fc.constantFrom(...NAMES.split(" "), ""), fc.string({ maxLength: 8 }));

/** Sets (or, without a value, deletes) a member of an object, or of an object in it. */
interface Change {
  readonly into: number;
  readonly name: string;
  readonly value?: unknown;
}
type Member = "token" | "salt" | "delegation" | "proof";

/** Change one part of a JWS, and who signs it then. */
interface JwsChange {
  readonly kind: "proof" | "delegation" | "token";
  readonly base: number;
  readonly part: "claims" | "header";
  readonly change: Change;
  readonly signer: "right" | "thief" | "thief with the right jwk" | "nobody";
}

/** One change of one of six proofs. */
export type Mutation =
  | JwsChange
  | {
      readonly kind: "bytes";
      readonly base: number;
      readonly member: Member;
      readonly edit: { readonly at: number; readonly op: string; readonly letter: string };
    }
  | {
      readonly kind: "envelope";
      readonly base: number;
      readonly member: string;
      readonly value?: unknown;
    }
  | {
      readonly kind: "swap";
      readonly base: number;
      readonly other: number;
      readonly member: Member;
    }
  | { readonly kind: "params"; readonly base: number; readonly change: Change }
  | {
      readonly kind: "call";
      readonly base: number;
      readonly member: "method" | "traceId" | "params";
      readonly value: unknown;
    };

const VALUE_OR_NONE = fc.option(VALUE, { nil: undefined });
const CHANGE = fc.record({ into: fc.nat({ max: 5 }), name: NAME, value: VALUE_OR_NONE });
const MEMBER = fc.constantFrom<Member>("token", "salt", "delegation", "proof");
const base = fc.nat({ max: 5 });

function jwsChange(kind: JwsChange["kind"]): fc.Arbitrary<Mutation> {
  return fc.record({
    kind: fc.constant(kind),
    base,
    part: fc.constantFrom<JwsChange["part"]>("claims", "header"),
    change: CHANGE,
    signer: fc.constantFrom<JwsChange["signer"]>(
      "right",
      "thief",
      "thief with the right jwk",
      "nobody",
    ),
  });
}

/** Any of them. */
export const MUTATION: fc.Arbitrary<Mutation> = fc.oneof<fc.Arbitrary<Mutation>[]>(
  fc.record({ kind: fc.constant("bytes"), base, member: MEMBER, edit: EDIT }),
  fc.record({
    kind: fc.constant("envelope"),
    base,
    member: fc.oneof(MEMBER, NAME),
    value: VALUE_OR_NONE,
  }),
  fc.record({ kind: fc.constant("swap"), base, other: base, member: MEMBER }),
  jwsChange("proof"),
  jwsChange("delegation"),
  jwsChange("token"),
  fc.record({ kind: fc.constant("params"), base, change: CHANGE }),
  fc.record({
    kind: fc.constant("call"),
    base,
    member: fc.constantFrom("method", "traceId", "params"),
    value: VALUE,
  }),
);

/** Makes the change. */
export function attempt(scene: Scene, mutation: Mutation): Attempt {
  const { envelope, signer } = scene.bases[mutation.base] as Base;
  const request: Request = CALL;
  if (mutation.kind === "call") {
    return sameCall({ ...request, [mutation.member]: mutation.value }, envelope);
  }
  if (mutation.kind === "params") {
    return sameCall({ ...request, params: changed(CALL.params, mutation.change) }, envelope);
  }
  const proof = changedEnvelope(scene, { envelope, signer }, mutation);
  return proof === undefined || isDeepStrictEqual(proof, envelope) ? undefined : { proof, request };
}

function changedEnvelope(
  scene: Scene,
  { envelope, signer }: Base,
  mutation: Exclude<Mutation, { kind: "call" | "params" }>,
): Json | undefined {
  const { kind } = mutation;
  if (kind === "bytes") {
    const { member, edit } = mutation;
    return { ...envelope, [member]: edited(envelope[member] ?? "", edit) };
  }
  if (kind === "envelope") return withMember(envelope, mutation.member, mutation.value);
  if (kind === "swap") {
    const { member, other } = mutation;
    return withMember(envelope, member, scene.bases[other]?.envelope[member]);
  }
  if (kind === "token") return withToken(scene, envelope, signer, mutation);
  const jws = envelope[kind];
  if (jws === undefined) return undefined;
  const changedJws = resigned(
    scene,
    jws,
    kind === "proof" ? signer : scene.login.loginKey,
    mutation,
  );
  return changedJws === undefined ? undefined : { ...envelope, [kind]: changedJws };
}

function edited(
  text: string,
  { at, op, letter }: { at: number; op: string; letter: string },
): string {
  const index = text === "" ? 0 : at % text.length;
  const [before, after] = [text.slice(0, index), text.slice(index + 1)];
  if (op === "insert") return before + letter + text.slice(index);
  if (op === "delete") return before + after;
  if (op === "cut") return before;
  if (op === "double") return text.slice(0, index + 1) + text.slice(index);
  return before + letter + after;
}

/** As JSON would have it: also a member named `__proto__` is one of its own. */
function withMember(given: Json, name: string, value: unknown): Json {
  const entries = Object.entries(given).filter(([known]) => known !== name);
  return Object.fromEntries(value === undefined ? entries : [...entries, [name, value]]);
}

function changed(given: Json, change: Change): Json {
  const inner = Object.entries(given).filter(
    ([, value]) => typeof value === "object" && value !== null && !Array.isArray(value),
  );
  const [name, value] = inner[change.into] ?? [];
  if (name === undefined) return withMember(given, change.name, change.value);
  return withMember(given, name, withMember(value as Json, change.name, change.value));
}

/** Changed and signed anew; `undefined` where the change leaves a JWS that is as good as the first one. */
function resigned(
  scene: Scene,
  jws: string,
  right: TestPair,
  { part, change, signer }: JwsChange,
): string | undefined {
  const [header, claims] = [segment(jws, 0), segment(jws, 1)];
  const newHeader = part === "header" ? changed(header, change) : header;
  const newClaims = part === "claims" ? changed(claims, change) : claims;
  if (signer === "nobody") {
    const text = `${encode(newHeader)}.${encode(newClaims)}`;
    return jws.startsWith(`${text}.`) ? undefined : `${text}.${jws.split(".")[2] as string}`;
  }
  if (signer === "right") {
    const same =
      part === "header"
        ? isDeepStrictEqual(newHeader, header)
        : isHarmless(claims, newClaims, scene.now);
    return same ? undefined : forge(right, newHeader, newClaims);
  }
  const jwk = signer === "thief" ? { jwk: scene.thief.publicJwk } : {};
  return forge(scene.thief, { ...newHeader, ...jwk }, newClaims);
}

/** Whoever has the key may choose a number and a time, and may leave the trace out: that is no attack. */
function isHarmless(before: Json, after: Json, now: number): boolean {
  const { iat, exp, jti, txn, ...rest } = after;
  const { iat: _, exp: hadExp, jti: hadJti, txn: _txn, ...expected } = before;
  if (!isDeepStrictEqual(rest, expected) || !Number.isSafeInteger(iat)) return false;
  if (hadExp !== undefined) {
    const life = Number(exp) - Number(iat);
    return (
      Number.isSafeInteger(exp) &&
      jti === undefined &&
      txn === undefined &&
      life > 0 &&
      life <= 600 &&
      Number(iat) <= now + 60 &&
      Number(exp) > now - 60
    );
  }
  const isNumbered = typeof jti === "string" && /^[\w-]{16,128}$/.test(jti) && hadJti !== undefined;
  return (
    exp === undefined &&
    isNumbered &&
    Math.abs(Number(iat) - now) <= 60 &&
    (txn === undefined || txn === TRACE_ID)
  );
}

/** Another token, with proof and delegation made to fit it: only the issuer's signature is missing. */
function withToken(
  scene: Scene,
  envelope: Readonly<Record<string, string>>,
  signer: TestPair,
  { part, change, signer: how }: JwsChange,
): Json {
  const old = envelope["token"] as string;
  const header = part === "header" ? changed(segment(old, 0), change) : segment(old, 0);
  const claims = part === "claims" ? changed(segment(old, 1), change) : segment(old, 1);
  const unsigned = `${encode({ ...header, ...(how === "right" ? { alg: "none" } : {}) })}.${encode(claims)}`;
  const token = how.startsWith("thief")
    ? forge(
        scene.thief,
        { ...header, ...(how === "thief" ? { jwk: scene.thief.publicJwk } : {}) },
        claims,
      )
    : `${unsigned}.${how === "right" ? "" : (old.split(".")[2] as string)}`;
  if (token === old) return envelope;
  const proof = forge(signer, segment(envelope["proof"] as string, 0), {
    ...segment(envelope["proof"] as string, 1),
    ath: sha256(token),
  });
  const delegation =
    envelope["delegation"] === undefined ? {} : { delegation: scene.login.delegation(token) };
  return { ...envelope, ...delegation, token, proof };
}

function sameCall(request: Request, envelope: Json): Attempt {
  const same =
    request.method === CALL.method &&
    request.traceId === CALL.traceId &&
    typeof request.params === "object" &&
    canonical(request.params) === canonical(CALL.params);
  return same ? undefined : { proof: envelope, request };
}

function canonical(params: unknown): string {
  const entries = Object.entries((params ?? {}) as Json).filter(([name]) => name !== "_meta");
  return Array.isArray(params) ? "[]" : canonicalJson(Object.fromEntries(entries));
}

function segment(jws: string, index: number): Changes {
  return JSON.parse(
    Buffer.from(jws.split(".")[index] as string, "base64url").toString(),
  ) as Changes;
}
