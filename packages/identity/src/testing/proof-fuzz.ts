// Tries what `proof-changes.ts` makes, against a resolver and an issuer that are real.
import * as fc from "fast-check";
import type { IdentityResolver, IdentityResult } from "../resolver.ts";
import {
  BINDINGS,
  CALL,
  nowSeconds,
  SALT,
  type TestLogin,
  testLogin,
  type TestPair,
  testPair,
} from "./login.ts";
import { attempt, type Base, MUTATION, type Request, type Scene } from "./proof-changes.ts";

/** What came of it. */
export interface FuzzResult {
  readonly tried: number;
  /** By kind of change. */
  readonly byKind: Readonly<Record<string, number>>;
  /** Attempts that got as far as the replay guard: what nobody but it would have stopped. Must be 0. */
  readonly reachedGuard: number;
}

async function setScene(login: TestLogin, thief: TestPair): Promise<Scene> {
  const bases: Base[] = [];
  for (const binding of BINDINGS) {
    for (const signer of [login.loginKey, login.callKey]) {
      const token = await login.token(binding, { jti: `${binding}-${bases.length}` });
      const salt = binding === "nonce" ? { salt: SALT } : {};
      const delegation = signer === login.callKey ? { delegation: login.delegation(token) } : {};
      const proof = login.proof(token, {}, {}, signer);
      bases.push({ envelope: { token, ...salt, ...delegation, proof }, signer });
    }
  }
  return { login, thief, bases, now: nowSeconds() };
}

/** Tries at least `count` changed proofs. Throws when one is accepted, or refused for another reason than `identity_invalid`. */
export async function fuzzProofs(count: number, seed: number): Promise<FuzzResult> {
  const login = await testLogin();
  const scene = await setScene(login, await testPair());
  const clock = (): number => scene.now * 1000;
  let reachedGuard = 0;
  const use = (): "fresh" => {
    reachedGuard += 1;
    return "fresh";
  };
  const identity = login.identity({ clock, replay: { use, close: () => undefined } });
  for (const { envelope } of scene.bases) await expectHuman(identity, envelope);
  reachedGuard = 0;
  const byKind: Record<string, number> = {};
  const tried = (): number => Object.values(byKind).reduce((sum, one) => sum + one, 0);
  const property = fc.asyncProperty(
    fc.array(MUTATION, { minLength: 50, maxLength: 50 }),
    async (mutations) => {
      await Promise.all(
        mutations.map(async (mutation) => {
          const made = attempt(scene, mutation);
          if (made === undefined) return;
          byKind[mutation.kind] = (byKind[mutation.kind] ?? 0) + 1;
          const result = await resolve(identity, made.proof, made.request);
          if (result.kind !== "denied" || result.reason !== "identity_invalid") {
            throw new Error(`${result.kind}: ${JSON.stringify({ mutation, proof: made.proof })}`);
          }
        }),
      );
    },
  );
  try {
    for (let round = 0; tried() < count; round += 1) {
      await fc.assert(property, {
        numRuns: Math.ceil(Math.min(count, 5000) / 50),
        seed: seed + round,
      });
    }
    for (const { envelope } of scene.bases) await expectHuman(identity, envelope);
    reachedGuard -= scene.bases.length;
  } finally {
    await login.close();
  }
  return { tried: tried(), byKind, reachedGuard };
}

function resolve(
  identity: IdentityResolver,
  proof: unknown,
  request: Request,
): Promise<IdentityResult> {
  return identity.resolve({ transport: "stdio", proof, request }, new AbortController().signal);
}

async function expectHuman(identity: IdentityResolver, proof: unknown): Promise<void> {
  const { kind } = await resolve(identity, proof, CALL);
  if (kind !== "human") throw new Error(`a proof that nobody changed: ${kind}`);
}
