import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { createIdentity, type IdentityConfig, stateDirectory } from "@countersign/identity";
import { createJournal, type JournalOptions } from "@countersign/journal";
import { CountersignError, type GateKind, type Logger, type SdkCoverage } from "@countersign/model";
import type { Checker } from "./check/checker.ts";
import { createRelationshipsChecker } from "./check/relationships.ts";
import { createSpiceDbChecker } from "./check/spicedb.ts";
import { createGate, type Gate } from "./gate.ts";
import { loadPolicy } from "./policy/load.ts";
import { shipOptions } from "./ship-options.ts";
import type { AuthorizerConfig, Policy } from "./policy/policy.ts";

/** What the process around a gate knows. */
export interface OpenGateOptions {
  readonly policyFile: string;
  readonly gate: GateKind;
  /** The MCP SDK copies found so far; asked when an epoch opens. */
  readonly coverage: () => { readonly sdks: readonly SdkCoverage[] };
  /** What the server says of itself. */
  readonly serverInfo?: { readonly name?: string; readonly version?: string };
  /** Default `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Journal directory. Default: `COUNTERSIGN_JOURNAL`, else `journal/` in the state directory. */
  readonly journal?: string;
  /** Base URL of the processor's OTLP/HTTP receiver. Default: `COUNTERSIGN_OTLP_ENDPOINT`, else nothing is shipped. */
  readonly otlp?: string;
  readonly log?: Logger;
}

/**
 * A gate with everything that a policy file says, wired: identity, checker, journal, shipper. Nothing is asked of anybody
 * yet: keys, authorizer and disk are met with the first call that needs them.
 * @throws `CONFIG_INVALID` if the file cannot be read, or (PolicyError) cannot be used
 */
export async function openGate(options: OpenGateOptions): Promise<Gate> {
  const env = options.env ?? process.env;
  const { policy } = loadPolicy(await readPolicy(options.policyFile), options.policyFile, env);
  const logged = options.log === undefined ? {} : { log: options.log };
  const surroundings = { env, stateDirectory: stateDirectory(env), ...logged };
  return createGate({
    policy,
    identity: createIdentity(identityConfig(policy), surroundings),
    checker: createChecker(policy.authorizer),
    journal: createJournal(journalOptions(policy, options, env)),
    ...logged,
  });
}

/** What a policy says about identity, for `createIdentity`. */
export function identityConfig({ identity, server }: Policy): IdentityConfig {
  const { minimum, issuers, process: helper } = identity;
  const config = { minimum, issuers, server };
  return helper === undefined ? config : { ...config, process: helper };
}

/** The checker that a policy names. */
export function createChecker(config: AuthorizerConfig): Checker {
  return config.kind === "spicedb"
    ? createSpiceDbChecker(config.spicedb)
    : createRelationshipsChecker(config.relationships);
}

async function readPolicy(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CountersignError(
      "CONFIG_INVALID",
      `gate/open: cannot read the policy file ${file} (${code ?? "unknown error"})`,
      { cause: error },
    );
  }
}

function journalOptions(
  policy: Policy,
  options: OpenGateOptions,
  env: NodeJS.ProcessEnv,
): JournalOptions {
  const endpoint = options.otlp ?? env["COUNTERSIGN_OTLP_ENDPOINT"];
  return {
    directory: options.journal ?? journalDirectory(env),
    env,
    epoch: {
      tenant: policy.tenant,
      mode: policy.mode,
      durability: policy.durability,
      gate: options.gate,
      server: { id: policy.server, ...options.serverInfo },
      policy: { digest: policy.digest, default: "deny" },
      runtime: { countersign: ownVersion(), node: process.versions.node, os: process.platform },
      coverage: options.coverage,
    },
    ...(policy.heartbeatMs === undefined ? {} : { heartbeatMs: policy.heartbeatMs }),
    ...(endpoint === undefined || endpoint === "" ? {} : { ship: shipOptions(endpoint, env) }),
    ...(options.log === undefined ? {} : { log: options.log }),
  };
}

function journalDirectory(env: NodeJS.ProcessEnv): string {
  const own = env["COUNTERSIGN_JOURNAL"];
  if (own !== undefined && own !== "") return resolve(own);
  return join(stateDirectory(env), "journal");
}

function ownVersion(): string {
  const file = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { readonly version: string }).version;
}
