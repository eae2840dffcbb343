import { META_DENIAL } from "@countersign/model";
import type { CallOutcome, Verdict } from "@countersign/gate";

/**
 * What the caller of a blocked request gets (contract, section 5).
 * `result`: answer with this JSON-RPC result. `error`: answer with this JSON-RPC error.
 */
export type Denial =
  | { readonly kind: "result"; readonly result: DeniedResult }
  | { readonly kind: "error"; readonly error: DeniedError };

/** The result of a denied `tools/call`: a tool error that the model can read, and the decision id for a human. */
export interface DeniedResult {
  readonly content: readonly [{ readonly type: "text"; readonly text: string }];
  readonly isError: true;
  readonly _meta?: Readonly<Record<string, { readonly decisionId: string }>>;
}

/** The error of every other denied request. `data` is absent when there is no record to refer to. */
export interface DeniedError {
  readonly code: number;
  readonly message: string;
  readonly data?: { readonly decisionId: string };
}

/** JSON-RPC code of a denied request. Outside the ranges that JSON-RPC and MCP reserve. */
export const CODE_DENIED: number = -31403;
/** JSON-RPC code of a request that could not be decided or recorded. */
export const CODE_UNDECIDED: number = -31503;

/** One text for unknown, forbidden and unidentified: a caller learns nothing about what exists. */
const DENIED = "Access denied.";
const UNDECIDED = "Access could not be decided.";
const UNRECORDED = "Access could not be recorded, so the call was not run.";

/** The answer to a call that the gate blocked. Carries nothing of the call but the decision id. */
export function denialOf(
  method: string,
  verdict: Pick<Verdict, "id" | "recorded" | "decision">,
): Denial {
  if (!verdict.recorded) return unrecordedDenial(method);
  // A blocked `allow` is a call that was allowed and then could not be started: it is undecided, not refused.
  return verdict.decision === "deny"
    ? build(method, CODE_DENIED, DENIED, verdict.id)
    : build(method, CODE_UNDECIDED, UNDECIDED, verdict.id);
}

/** The answer when nothing could be written: no id, since there is no record. */
export function unrecordedDenial(method: string): Denial {
  return build(method, CODE_UNDECIDED, UNRECORDED, undefined);
}

function build(method: string, code: number, text: string, id: string | undefined): Denial {
  const message = id === undefined ? text : `${text} Reference: ${id}`;
  if (method === "tools/call") {
    const result: DeniedResult = { content: [{ type: "text", text: message }], isError: true };
    return {
      kind: "result",
      result:
        id === undefined ? result : { ...result, _meta: { [META_DENIAL]: { decisionId: id } } },
    };
  }
  return {
    kind: "error",
    error: id === undefined ? { code, message } : { code, message, data: { decisionId: id } },
  };
}

/** A denial as the SERVER span sees it: `isError` is a tool error, a code is a code. */
export function denialOutcome(denial: Denial): Pick<CallOutcome, "status" | "rpcCode"> {
  return denial.kind === "result"
    ? { status: "tool_error" }
    : { status: "rpc_error", rpcCode: denial.error.code };
}
