import type { v1 } from "@authzed/authzed-node";
import type { SpiceDbConfig } from "../policy/policy.ts";
import type { CheckAnswer, CheckRequest } from "./checker.ts";
import type { Connection } from "./spicedb-connection.ts";

/** What the answer must have seen. */
export interface Consistency {
  readonly kind: SpiceDbConfig["consistency"];
  /** `at_least_as_fresh`: the newest token seen; without one yet, the first question is fully consistent. */
  readonly token?: string | undefined;
}

const HAS_PERMISSION = 2;
const NO_PERMISSION = 1;
const CONDITIONAL_PERMISSION = 3;

/** A request for one question. */
export function singleRequest(
  connection: Connection,
  request: CheckRequest,
  consistency: Consistency,
): v1.CheckPermissionRequest {
  return {
    ...item(connection, request),
    consistency: consistencyOf(consistency),
    withTracing: false,
  };
}

/** A request for several questions. */
export function bulkRequest(
  connection: Connection,
  requests: readonly CheckRequest[],
  consistency: Consistency,
): v1.CheckBulkPermissionsRequest {
  const items = requests.map((request) => item(connection, request));
  return { items, consistency: consistencyOf(consistency), withTracing: false };
}

/** Caveat context has to be the client's own Struct: a foreign one is taken without an error and read as empty. */
function item(connection: Connection, request: CheckRequest): v1.CheckBulkPermissionsRequestItem {
  const { permission, resource, subject, context } = request;
  const message = {
    permission,
    resource: { objectType: resource.type, objectId: resource.id },
    subject: { object: { objectType: subject.type, objectId: subject.id }, optionalRelation: "" },
  };
  if (context === undefined) return message;
  const json = context as Parameters<typeof connection.v1.PbStruct.fromJson>[0];
  return { ...message, context: connection.v1.PbStruct.fromJson(json) };
}

function consistencyOf({ kind, token }: Consistency): v1.Consistency {
  if (kind === "minimize_latency")
    return { requirement: { oneofKind: "minimizeLatency", minimizeLatency: true } };
  if (kind === "at_least_as_fresh" && token !== undefined) {
    return { requirement: { oneofKind: "atLeastAsFresh", atLeastAsFresh: { token } } };
  }
  return { requirement: { oneofKind: "fullyConsistent", fullyConsistent: true } };
}

/** The answer to one question. */
export function answerOf(response: v1.CheckPermissionResponse, durationUs: number): CheckAnswer {
  const expiresAt = timeOf(response.optionalExpiresAt);
  const answer = {
    ...verdictOf(response.permissionship),
    ...tokenOf(response.checkedAt),
    durationUs,
  };
  return expiresAt === undefined ? answer : { ...answer, expiresAt };
}

/** The answers to several; an error may concern one of them alone, and one that is missing was not evaluated. */
export function bulkAnswers(
  response: v1.CheckBulkPermissionsResponse,
  count: number,
  durationUs: number,
): readonly CheckAnswer[] {
  const token = tokenOf(response.checkedAt);
  return Array.from({ length: count }, (_, index): CheckAnswer => {
    const answer = response.pairs[index]?.response;
    if (answer?.oneofKind === "item")
      return { ...verdictOf(answer.item.permissionship), ...token, durationUs };
    const reason = answer?.oneofKind === "error" ? "invalid_request" : "not_evaluated";
    return { verdict: "error", reason, engine: "spicedb", ...token, durationUs };
  });
}

function verdictOf(permissionship: number): Pick<CheckAnswer, "verdict" | "reason" | "engine"> {
  switch (permissionship) {
    case HAS_PERMISSION:
      return { verdict: "allow", engine: "spicedb" };
    case NO_PERMISSION:
      return { verdict: "deny", engine: "spicedb" };
    case CONDITIONAL_PERMISSION:
      return { verdict: "conditional", reason: "missing_context", engine: "spicedb" };
    default:
      return { verdict: "error", reason: "not_evaluated", engine: "spicedb" };
  }
}

function tokenOf(checkedAt: v1.ZedToken | undefined): { readonly consistencyToken?: string } {
  const token = checkedAt?.token;
  return token === undefined || token === "" ? {} : { consistencyToken: token };
}

function timeOf(
  timestamp: { readonly seconds: string; readonly nanos: number } | undefined,
): string | undefined {
  if (timestamp === undefined) return undefined;
  const ms = Number(timestamp.seconds) * 1000 + Math.trunc(timestamp.nanos / 1_000_000);
  const time = new Date(ms);
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}
