import { type Logger, silentLogger } from "@countersign/model";
import type { Credential, CredentialSource } from "./credential.ts";
import type { IdentityResult, ResolverStep } from "./resolver.ts";
import { provePossession } from "./key-bound-jws.ts";
import { createLoginReport, type LoginReport } from "./login-report.ts";
import type { LoginVerifier, VerifiedLogin } from "./login-token.ts";
import { createSubjectToken } from "./subject-token.ts";
import { orAbort } from "./wait.ts";

const INVALID: IdentityResult = { kind: "denied", reason: "identity_invalid" };
const UNAVAILABLE: IdentityResult = { kind: "error", reason: "identity_unavailable" };

/** What the process credential is made of. */
export interface ProcessCredentialParts {
  readonly source: CredentialSource;
  readonly logins: LoginVerifier;
  /** The policy's `server`: what the credential is asked for, and what its delegation must be for. */
  readonly server: string;
  readonly clock: () => number;
  /** Told when nobody is logged in, when that cannot be known, and when it is over: a line for each change. Default: silence. */
  readonly log?: Logger;
}

/**
 * The login of the human at whose machine this process runs (contract, section 6): on stdio only, where whoever started the
 * process is who talks to it. The helper is not believed: the token is verified like any other, and this process proves to itself
 * that the key works before the human counts as `token_bound`.
 */
export function processCredentialResolver(parts: ProcessCredentialParts): ResolverStep {
  const report = createLoginReport(parts.log ?? silentLogger);
  const proven = new WeakMap<Credential, Promise<string>>();
  const possession = (credential: Credential): Promise<string> => {
    const known = proven.get(credential);
    if (known !== undefined) return known;
    const proof = provePossession(credential.key, parts.clock());
    proven.set(credential, proof);
    return proof;
  };
  return (evidence, signal) => {
    if (evidence.transport !== "stdio") return undefined;
    return resolve({ ...parts, report }, possession, signal);
  };
}

interface Asking extends ProcessCredentialParts {
  readonly report: LoginReport;
}

async function resolve(
  parts: Asking,
  possession: (credential: Credential) => Promise<string>,
  signal: AbortSignal,
): Promise<IdentityResult | undefined> {
  const credential = await currentOf(parts, signal);
  if (credential === undefined) return undefined;
  if (credential === "unavailable") return UNAVAILABLE;
  if (credential.expiresAtMs <= parts.clock()) return INVALID;
  const signedBy = await possession(credential).catch(() => undefined);
  if (signedBy === undefined) return INVALID;
  const { token, salt, delegation } = credential;
  const evidence = {
    token,
    ...(salt === undefined ? {} : { salt }),
    ...(delegation === undefined ? {} : { delegation }),
    signedBy,
    audience: parts.server,
  };
  const result = await orAbort(parts.logins.verify(evidence), signal);
  return result.kind === "login" ? tokenBound(result.login, token) : result;
}

/** Nobody is logged in, or it cannot be known: two different answers, and only the first goes on to the next step. */
async function currentOf(
  { source, server, report }: Asking,
  signal: AbortSignal,
): Promise<Credential | "unavailable" | undefined> {
  try {
    const credential = await source.current(server, signal);
    if (credential === undefined) report.nobody();
    else report.had();
    return credential;
  } catch (error) {
    if (signal.aborted) throw signal.reason as Error;
    report.failed(error);
    return "unavailable";
  }
}

function tokenBound(login: VerifiedLogin, token: string): IdentityResult {
  const { issuer, subject, authTime, agent, kind, jkt, tokenSha256, tokenId } = login;
  return {
    kind: "human",
    human: {
      issuer,
      subject,
      assurance: "token_bound",
      method: "process_token",
      ...(authTime === undefined ? {} : { authTime }),
      binding: { jkt, ...(tokenId === undefined ? {} : { jti: tokenId }), tokenSha256 },
    },
    ...(agent === undefined ? {} : { agent }),
    subject: createSubjectToken(kind, token),
  };
}
