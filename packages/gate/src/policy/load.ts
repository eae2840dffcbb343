import { canonicalJson, sha256Hex } from "@countersign/model";
import { parseDocument } from "@countersign/model/document";
import { type Compiling, compileNames, compileUris } from "./compile.ts";
import type { PolicyDocument } from "./document-shape.ts";
import { replaceEnv } from "./env.ts";
import { checkReach, isProvable } from "./reach.ts";
import { createNameRules, createUriRules, type Rule } from "./match.ts";
import { validatePolicy } from "./policy.generated.ts";
import type { Policy } from "./policy.ts";
import { Report } from "./report.ts";
import {
  authorizer,
  checkIssuers,
  heartbeat,
  observeUntil,
  pathRoot,
  subjectTemplate,
} from "./rules-of-use.ts";

/** A policy and the file it came from. */
export interface LoadedPolicy {
  readonly policy: Policy;
  readonly file: string;
}

/**
 * Reads a policy document (contract/policy.yaml).
 * @param text the file's content · @param file its name, for messages · @param env where `${env:X}` is looked up
 * @throws PolicyError (`CONFIG_INVALID`) with every problem: line, column, path, and what to do
 */
export function loadPolicy(
  text: string,
  file: string,
  env: NodeJS.ProcessEnv = process.env,
  nowMs: number = Date.now(),
): LoadedPolicy {
  const parsed = parseDocument(text, file);
  const report = new Report(file, parsed);
  report.throwIfAny();
  const digest = digestOf(parsed.value, report);
  const document = replaceEnv(parsed.value, env, report) as PolicyDocument;
  if (!validatePolicy(document)) report.addSchemaErrors(document, validatePolicy.errors ?? []);
  if (!isRecord(document)) report.throwIfAny();
  const policy = build(document, digest, nowMs, report);
  report.throwIfAny();
  return { policy, file };
}

/** Over the parsed document, so comments and layout do not count, and before replacement, so a secret does not either. */
function digestOf(value: unknown, report: Report): string {
  try {
    return `sha256:${sha256Hex(canonicalJson(value))}`;
  } catch {
    report.add([], "has a value that JSON cannot hold (.nan, .inf)");
    return "";
  }
}

/** Reads every part, so that every part can complain; the result is good only if the report stayed empty. */
function build(document: PolicyDocument, digest: string, nowMs: number, report: Report): Policy {
  const subject = subjectTemplate(document, report);
  checkIssuers(document, report);
  const provable = isProvable(document);
  checkReach(document, provable, report);
  const engine = authorizer(document, report);
  const root = pathRoot(document, report);
  const observeUntilMs = observeUntil(document, nowMs, report);
  const heartbeatMs = heartbeat(document, report);
  const compiling: Compiling = {
    report,
    minimum: report.clean(["identity"]) ? document.identity.minimum : "none",
    provable,
    hasPathRoot: document.paths !== undefined,
    caveats: engine?.kind !== "relationships",
  };
  const section = (name: "tools" | "prompts" | "resources") =>
    report.clean([name]) || isRecord(document[name]) ? (document[name] ?? {}) : {};
  const tools = compileNames("tools", section("tools"), compiling);
  const prompts = compileNames("prompts", section("prompts"), compiling);
  const uris = compileUris(section("resources"), compiling);
  const helper = isRecord(document.identity) ? document.identity.process : undefined;
  return {
    version: 1,
    server: document.server,
    tenant: document.tenant,
    mode: document.mode,
    durability: document.durability ?? "journal",
    digest,
    // A missing subject or engine has been reported: the caller throws before anybody reads these.
    identity: {
      minimum: compiling.minimum,
      subject: subject as NonNullable<typeof subject>,
      issuers: issuersOf(document),
      ...(helper === undefined ? {} : { process: helper }),
    },
    authorizer: engine as NonNullable<typeof engine>,
    tools: createNameRules(tools),
    prompts: createNameRules(prompts),
    resources: createUriRules(uris.patterns, uris.fallback),
    floors: floorsOf([
      ...tools.values(),
      ...uris.patterns.map(([, rule]) => rule),
      ...(uris.fallback === undefined ? [] : [uris.fallback]),
      ...prompts.values(),
    ]),
    lists: document.lists ?? "filter",
    ...(observeUntilMs === undefined ? {} : { observeUntilMs }),
    ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
    ...(root === undefined ? {} : { pathRoot: root }),
  };
}

function floorsOf(rules: readonly Rule[]): Policy["floors"] {
  return new Map(
    rules.flatMap(({ name, minimum }) =>
      minimum === undefined ? [] : ([[name, minimum]] as const),
    ),
  );
}

function issuersOf(document: PolicyDocument): Policy["identity"]["issuers"] {
  return isRecord(document.identity) ? (document.identity.issuers ?? []) : [];
}

function isRecord(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
