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
    '  subject: "user:{human.subject}"',
    "",
    "authorizer:",
    "  relationships: []                  # exact tuples to try things with, or `spicedb: { endpoint: …, token: … }`",
    '  # - "file:report#read@user:alice"',
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
    "# Uncomment what may be called, and say which permission on which resource it takes.",
    "tools: {}",
    ...offered.map((tool) => {
      const argument = tool.textArguments[0];
      const resource =
        argument !== undefined && /^[A-Za-z_][A-Za-z0-9_]*$/.test(argument)
          ? `TYPE:{arguments.${argument}}`
          : "TYPE:ID";
      const permission = tool.readOnly ? "read" : "write";
      return `#  ${quoted(tool.name)}: { permission: ${permission}, resource: "${resource}" }`;
    }),
    "",
  ];
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
