import { isHttpsOrLoopback, isLoopbackHost } from "@countersign/model";
import { type Assurance, assuranceAtLeast } from "@countersign/model";
import { TUPLE } from "../check/relationships.ts";
import type { PolicyDocument, SpiceDbEntry } from "./document-shape.ts";
import type { AuthorizerConfig, SpiceDbConfig } from "./policy.ts";
import type { Report } from "./report.ts";
import { type ObjectTemplate, parseObjectTemplate } from "./template.ts";

const DAY_MS = 86_400_000;
const MAX_OBSERVE_DAYS = 90;
const ENDPOINT = /^(?:\[([0-9A-Fa-f:]+)\]|([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)):(\d{1,5})$/;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const DEFAULT_TIMEOUT = "500ms";
const MIN_TIMEOUT_MS = 10;
const MAX_TIMEOUT_MS = 5000;
const MIN_HEARTBEAT_MS = 1000;
const MAX_HEARTBEAT_MS = 3_600_000;

/** Milliseconds of `500ms`, `60s`, `5m`, `1h`. The schema has checked the form. */
function durationMs(text: string): number {
  const unit = text.replace(/^\d+/, "");
  return Number.parseInt(text, 10) * (UNIT_MS[unit] as number);
}

/** When `observe` ends: with the last millisecond of that day, UTC. An end is required, ahead, and at most 90 days away. */
export function observeUntil(
  document: PolicyDocument,
  nowMs: number,
  report: Report,
): number | undefined {
  if (!report.clean(["mode"]) || !report.clean(["until"])) return undefined;
  if (document.mode === "enforce") {
    if (document.until !== undefined)
      report.add(["until"], "belongs to mode: observe; this policy enforces", "remove it");
    return undefined;
  }
  if (document.until === undefined) {
    report.add(
      ["mode"],
      "observe runs every call, so it needs an end",
      "add until: YYYY-MM-DD, at most 90 days ahead",
    );
    return undefined;
  }
  const start = Date.parse(`${document.until}T00:00:00.000Z`);
  if (Number.isNaN(start) || new Date(start).toISOString().slice(0, 10) !== document.until) {
    report.add(["until"], "is no date of the calendar", "write YYYY-MM-DD");
    return undefined;
  }
  const end = start + DAY_MS;
  if (end <= nowMs)
    report.add(
      ["until"],
      "is past, so nothing would be observed",
      "set mode: enforce, or a later day",
    );
  if (start > nowMs + MAX_OBSERVE_DAYS * DAY_MS)
    report.add(
      ["until"],
      `is more than ${MAX_OBSERVE_DAYS} days ahead`,
      "choose a day within 90 days",
    );
  return end;
}

/** `identity.subject` and `identity.issuers`. */
export function subjectTemplate(
  document: PolicyDocument,
  report: Report,
): ObjectTemplate | undefined {
  if (!report.clean(["identity"])) return undefined;
  const { subject, issuers = [], minimum } = document.identity;
  const path = ["identity", "subject"];
  const parsed = parseObjectTemplate(subject, {
    roots: new Set(["human"]),
    filters: new Set(["raw", "lower"]),
    each: false,
  });
  if (!parsed.ok) {
    report.add(path, parsed.problem);
    return undefined;
  }
  const members = new Set<string>();
  for (const part of parsed.template.parts)
    if (typeof part === "object") members.add(part.path.join("."));
  for (const member of members) {
    if (member !== "subject" && member !== "issuer")
      report.add(path, `asks for {human.${member}}; a human has subject and issuer`);
  }
  if (!members.has("subject") && minimum !== "none")
    report.add(
      path,
      "does not contain {human.subject}, so everybody would be one subject",
      'write "user:{human.subject}"',
    );
  if (!members.has("issuer")) checkIssuerIsNamed(issuers.length, minimum, report);
  return parsed.template;
}

/** The operating system is one more issuer where its accounts are believed: uid 1000 is not an issuer's subject "1000". */
function checkIssuerIsNamed(issuers: number, minimum: Assurance, report: Report): void {
  const path = ["identity", "subject"];
  const fix = 'write "user:{human.issuer}/{human.subject}"';
  if (issuers > 1)
    report.add(
      path,
      "does not contain {human.issuer}, but there are several issuers: two people could share a subject",
      fix,
    );
  else if (issuers === 1 && assuranceAtLeast("os_user", minimum))
    report.add(
      path,
      `does not contain {human.issuer}, but minimum: ${minimum} believes accounts of the machine beside the issuer: two people could share a subject`,
      `${fix}, or set minimum: bearer or stricter`,
    );
}

/** URLs of issuers, and each issuer once. */
export function checkIssuers(document: PolicyDocument, report: Report): void {
  if (!report.clean(["identity"])) return;
  const seen = new Set<string>();
  for (const [index, entry] of (document.identity.issuers ?? []).entries()) {
    const path = ["identity", "issuers", index];
    if (!isHttpsOrLoopback(entry.issuer))
      report.add([...path, "issuer"], "is not an https URL (http is accepted on loopback)");
    if (entry.jwksUri !== undefined && !isHttpsOrLoopback(entry.jwksUri))
      report.add([...path, "jwksUri"], "is not an https URL (http is accepted on loopback)");
    if (seen.has(entry.issuer))
      report.add([...path, "issuer"], "is listed twice", "join the two entries");
    seen.add(entry.issuer);
  }
}

/** Exactly one engine, reachable in a way that does not give its token away. */
export function authorizer(document: PolicyDocument, report: Report): AuthorizerConfig | undefined {
  if (!report.clean(["authorizer"])) return undefined;
  const { spicedb, relationships } = document.authorizer;
  if (spicedb !== undefined && relationships !== undefined) {
    report.add(["authorizer"], "names more than one authorizer", "keep exactly one");
    return undefined;
  }
  if (spicedb !== undefined) return { kind: "spicedb", spicedb: spiceDb(spicedb, report) };
  const tuples = relationships ?? [];
  for (const [index, tuple] of tuples.entries()) {
    if (!TUPLE.test(tuple))
      report.add(
        ["authorizer", "relationships", index],
        "is not type:id#permission@type:id",
        "encode ids as they are sent to the authorizer, as in user:alice=40example=2Ecom",
      );
  }
  return { kind: "relationships", relationships: tuples };
}

function spiceDb(entry: SpiceDbEntry, report: Report): SpiceDbConfig {
  const path = ["authorizer", "spicedb"];
  const [, v6, name, port] = ENDPOINT.exec(entry.endpoint) ?? [];
  const host = v6 ?? name;
  if (host === undefined || Number(port) > 65_535)
    report.add(
      [...path, "endpoint"],
      "is not host:port",
      "write it as spicedb.example:50051, without a scheme",
    );
  const tls = entry.tls ?? true;
  if (!tls && host !== undefined && !isLoopbackHost(host)) {
    report.add(
      [...path, "tls"],
      "is false, but the endpoint is not on this machine: the token and every question would travel in the clear",
      "remove tls: false",
    );
  }
  const timeoutMs = durationMs(entry.timeout ?? DEFAULT_TIMEOUT);
  if (timeoutMs < MIN_TIMEOUT_MS || timeoutMs > MAX_TIMEOUT_MS)
    report.add(
      [...path, "timeout"],
      `is not between ${MIN_TIMEOUT_MS}ms and ${MAX_TIMEOUT_MS / 1000}s`,
    );
  const { endpoint, token, consistency = "minimize_latency" } = entry;
  return { endpoint, token, tls, consistency, timeoutMs };
}

/** `paths.root`, normalised. */
export function pathRoot(document: PolicyDocument, report: Report): string | undefined {
  if (document.paths === undefined || !report.clean(["paths"])) return undefined;
  const { root } = document.paths;
  if (!root.startsWith("/") || root.split("/").includes("..")) {
    report.add(["paths", "root"], "is not an absolute path without ..");
    return undefined;
  }
  return root.replaceAll(/\/{2,}/g, "/").replace(/(.)\/$/, "$1");
}

/** `heartbeat` in milliseconds. */
export function heartbeat(document: PolicyDocument, report: Report): number | undefined {
  if (document.heartbeat === undefined || !report.clean(["heartbeat"])) return undefined;
  const ms = durationMs(document.heartbeat);
  if (ms < MIN_HEARTBEAT_MS || ms > MAX_HEARTBEAT_MS)
    report.add(["heartbeat"], "is not between 1s and 1h");
  return ms;
}
