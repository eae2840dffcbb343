// One sample in a fresh process: what a call proof costs, beside one raw ES256 signature of node:crypto in the same rounds.
import { generateKeyPairSync, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { join } from "node:path";
import {
  type CallProof,
  type CallProver,
  createCallProver,
  createIdentity,
  createReplayGuard,
  type IdentityConfig,
  type IdentityResolver,
  type ReplayGuard,
} from "@countersign/identity";
import { calculateJwkThumbprint, SignJWT } from "jose";
import { median, TOOL, toolCall } from "./workload.ts";

export interface IdentityJob {
  readonly calls: number;
  readonly warm: number;
}

/** Of one kind of work. */
export interface IdentityFigure {
  /** User and system time of all threads. */
  readonly cpuUs: number;
  /** Wall time, one at a time. */
  readonly p50Us: number;
  /** Wall time for one with 16 under way. */
  readonly at16Us: number;
}
export type IdentityTarget =
  | "node-verify"
  | "webcrypto-verify"
  | "verify"
  | "verify-on-disk"
  | "node-sign"
  | "webcrypto-sign"
  | "mint";
export type IdentitySample = Readonly<Record<IdentityTarget, IdentityFigure>>;

type Work = (index: number) => unknown;
/** Short and many: what disturbs the machine disturbs all kinds of work alike. */
const ROUNDS = 40;
const ISSUER = "https://idp.example";
const SERVER = "urn:mcp:bench";
const AGAIN = 16;
const never = new AbortController().signal;

/** In the order in which a round runs them: a proof is good for 60 s and one use, so what a round mints, it verifies. */
const ORDER: readonly IdentityTarget[] = [
  "mint",
  "verify",
  "verify-on-disk",
  "node-sign",
  "node-verify",
  "webcrypto-sign",
  "webcrypto-verify",
];

async function main({ calls, warm }: IdentityJob): Promise<IdentitySample> {
  const { prover, inMemory, onDisk } = await login();
  const proofs: CallProof[] = [];
  const mint: Work = async (index) => {
    const call = { method: "tools/call", params: toolCall(index), audience: SERVER };
    proofs[index] = (await prover.prove(call, never)) as CallProof;
  };
  const works: Record<IdentityTarget, Work> = {
    ...(await rawWork()),
    mint,
    verify: (index) => resolve(inMemory, index, proofs[index] as CallProof),
    "verify-on-disk": (index) => resolve(onDisk, index, proofs[index] as CallProof),
  };
  const figures = new Map<IdentityTarget, IdentityFigure[]>(ORDER.map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const name of ORDER) {
      const figure = await measure(works[name], round === 0 ? warm : Math.ceil(calls / ROUNDS));
      if (round > 0) figures.get(name)?.push(figure);
    }
  }
  const middle = (name: IdentityTarget, key: keyof IdentityFigure): number =>
    median((figures.get(name) ?? []).map((figure) => figure[key]));
  const entries = ORDER.map((name) => {
    const [cpuUs, p50Us] = [middle(name, "cpuUs"), middle(name, "p50Us")];
    return [name, { cpuUs, p50Us, at16Us: middle(name, "at16Us") }];
  });
  return Object.fromEntries(entries) as IdentitySample;
}

/** Half of them one at a time, half with 16 under way. */
async function measure(work: Work, count: number): Promise<IdentityFigure> {
  const half = Math.ceil(count / 2);
  const times: number[] = [];
  const before = process.cpuUsage();
  for (let index = 0; index < half; index++) {
    const from = process.hrtime.bigint();
    const answer = work(index);
    if (answer instanceof Promise) await answer;
    times.push(Number(process.hrtime.bigint() - from) / 1000);
  }
  const { user, system } = process.cpuUsage(before);
  let next = half;
  const from = process.hrtime.bigint();
  await Promise.all(
    Array.from({ length: AGAIN }, async () => {
      while (next < 2 * half) await work(next++);
    }),
  );
  const wallUs = Number(process.hrtime.bigint() - from) / 1000;
  return { cpuUs: (user + system) / half, p50Us: median(times), at16Us: wallUs / half };
}

async function resolve(identity: IdentityResolver, index: number, proof: CallProof): Promise<void> {
  const request = { method: "tools/call", params: toolCall(index) };
  const who = await identity.resolve({ transport: "stdio", proof, request }, never);
  if (who.kind !== "human")
    throw new Error(`bench: ${TOOL}: ${JSON.stringify(who)}, nothing worth measuring`);
}

/** A login whose issuer is here; token and keys are remembered after the first call. */
async function login(): Promise<{
  readonly prover: CallProver;
  readonly inMemory: IdentityResolver;
  readonly onDisk: IdentityResolver;
}> {
  const issuer = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const own = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
    format: "jwk",
  });
  const token = await new SignJWT({ cnf: { jkt: await calculateJwkThumbprint(own) } })
    .setProtectedHeader({ alg: "ES256", kid: "k" })
    .setIssuer(ISSUER)
    .setSubject("auth0|5f7c")
    .setAudience("bench-client")
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(issuer.privateKey);
  const jwks = { keys: [{ ...issuer.publicKey.export({ format: "jwk" }), kid: "k" }] };
  const credential = { token, key: own, expiresAtMs: Date.now() + 3_600_000 };
  const config: IdentityConfig = {
    minimum: "call_bound",
    server: SERVER,
    issuers: [
      {
        issuer: ISSUER,
        clients: ["bench-client"],
        algorithms: ["ES256"],
        jwksUri: `${ISSUER}/keys`,
      },
    ],
  };
  const identityWith = (replay: ReplayGuard): IdentityResolver =>
    createIdentity(config, { env: {}, fetch: () => Promise.resolve(Response.json(jwks)), replay });
  return {
    prover: createCallProver({ current: () => Promise.resolve(credential) }),
    inMemory: identityWith(createReplayGuard()),
    onDisk: identityWith(
      createReplayGuard({ directory: join(process.env["BENCH_DIR"] as string, "replay") }),
    ),
  };
}

function ieee(key: KeyObject): { readonly key: KeyObject; readonly dsaEncoding: "ieee-p1363" } {
  return { key, dsaEncoding: "ieee-p1363" };
}

/** As many bytes as a proof signs. */
async function rawWork(): Promise<
  Omit<Record<IdentityTarget, Work>, "mint" | "verify" | "verify-on-disk">
> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const bytes = randomBytes(600);
  const signature = sign("sha256", bytes, ieee(privateKey));
  const subtleKey = { name: "ECDSA", namedCurve: "P-256" };
  const how = { name: "ECDSA", hash: "SHA-256" };
  const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const ours = await crypto.subtle.importKey("pkcs8", pkcs8, subtleKey, false, ["sign"]);
  const theirs = await crypto.subtle.importKey("spki", spki, subtleKey, false, ["verify"]);
  return {
    "node-sign": () => sign("sha256", bytes, ieee(privateKey)),
    "node-verify": () => verify("sha256", bytes, ieee(publicKey), signature),
    "webcrypto-sign": () => crypto.subtle.sign(how, ours, bytes),
    "webcrypto-verify": () => crypto.subtle.verify(how, theirs, signature, bytes),
  };
}

const sample = await main(JSON.parse(process.argv[2] as string) as IdentityJob);
process.send?.(sample, () => process.exit(0));
