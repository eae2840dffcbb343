import { neutralise } from "@countersign/model";
import type { Offer, OfferedTool } from "./offer.ts";

/** How many names of resources are written out; a server may list thousands. */
const MAX_RESOURCES = 50;

/**
 * A policy that is valid as it stands and denies everything: each thing that the server offers is a comment to complete.
 * The server's own strings are quoted and neutralised, so none of them can end a comment.
 *
 * @param server The server's id, as the policy and the events name it.
 */
export function policySkeleton(server: string, offer: Offer): string {
  return [
    "# Denies every call until you complete it. Check it with: countersign validate --policy <this file>",
    "version: 1",
    `server: ${quoted(server)}`,
    "tenant: default",
    "mode: enforce",
    "",
    "identity:",
    "  minimum: os_user                   # call_bound > token_bound > bearer > os_user > asserted > none",
    "  # The operating system counts as an issuer: with os_user, uid 1000 is nobody's subject but this machine's.",
    '  # With minimum: bearer or above and one issuer, "user:{human.subject}" will do.',
    '  subject: "user:{human.issuer}/{human.subject}"',
    "  # Humans who log in (countersign login), from token_bound on:",
    "  # issuers: [{ issuer: https://idp.example, clients: [countersign-cli], algorithms: [ES256] }]",
    "  # process: { exec: [countersign, credential] }",
    "",
    "authorizer:",
    "  relationships: []                  # exact tuples to try things with, or `spicedb: { endpoint: …, token: … }`",
    '  # - "file:report#read@user:https=3A=2F=2Fidp=2Eexample/alice"',
    "",
    ...tools(offer.tools),
    ...resources(offer),
    ...prompts(offer.prompts),
    ...(offer.cut ? ["# The server lists more than this skeleton shows.", ""] : []),
    "lists: filter                        # only what is mapped is listed",
    "default: deny",
    "",
  ].join("\n");
}

function tools(offered: readonly OfferedTool[]): string[] {
  if (offered.length === 0) return [];
  return [
    "# Uncomment what may be called, and say which permission on which resource it takes. Every argument that may name a",
    "# resource has its own check, and all of them must hold: delete the checks of those that name none.",
    "tools: {}",
    ...offered.flatMap(toolEntry),
    "",
  ];
}

/** Rather one check too many than one too few: what is not checked is allowed to anybody who may call the tool at all. */
function toolEntry(tool: OfferedTool): string[] {
  const permission = tool.readOnly ? "read" : "write";
  const named = tool.textArguments.filter((name) => /^[A-Za-z_][A-Za-z0-9_]*(\[\*\])?$/.test(name));
  const checks = (
    named.length === 0 ? ["TYPE:ID"] : named.map((name) => `TYPE:{arguments.${name}}`)
  ).map((resource) => `{ permission: ${permission}, resource: "${resource}" }`);
  return checks.length === 1
    ? [`#  ${quoted(tool.name)}: ${checks[0]}`]
    : [`#  ${quoted(tool.name)}:`, ...checks.map((check) => `#    - ${check}`)];
}

function resources(offer: Offer): string[] {
  const uris = [...offer.templates, ...offer.resources];
  if (uris.length === 0) return [];
  return [
    "resources: {}",
    ...uris
      .slice(0, MAX_RESOURCES)
      .map((uri) => `#  ${quoted(uri)}: { permission: read, resource: "TYPE:ID" }`),
    ...(uris.length > MAX_RESOURCES ? [`#  and ${uris.length - MAX_RESOURCES} more`] : []),
    "",
  ];
}

function prompts(names: readonly string[]): string[] {
  if (names.length === 0) return [];
  return [
    "prompts: {}",
    ...names.map((name) => `#  ${quoted(name)}: { permission: use, resource: "prompt:{name}" }`),
    "",
  ];
}

/** A YAML double-quoted scalar is a superset of a JSON string. U+2028 and U+2029 end a line, and so a comment, in YAML 1.1. */
function quoted(name: string): string {
  return JSON.stringify(neutralise(name)).replaceAll(
    /[\u2028\u2029]/g,
    (separator) => `\\u${separator.charCodeAt(0).toString(16)}`,
  );
}
