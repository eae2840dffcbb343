import { META_DENIAL } from "@countersign/model";
import { type Denial, CODE_DENIED, CODE_UNDECIDED } from "../../denial.ts";
import type { RequestId } from "./message.ts";

/** JSON-RPC "Internal error": the guard or the server could not finish, whatever was asked. */
export const CODE_INTERNAL: number = -32603;

/** Texts of the errors that are the guard's own. */
export const TEXT_SERVER_GONE = "The server ended before it answered.";
export const TEXT_ANSWER_UNREADABLE = "The server's answer could not be read.";
export const TEXT_ANSWER_TOO_LARGE = "The server's answer is too large.";

/** A JSON-RPC error, as a line. `null` is for a message whose id is unknown (JSON-RPC 2.0, section 5). */
export function errorLine(
  id: RequestId | null,
  error: { code: number; message: string; data?: object },
): Buffer {
  return Buffer.from(`${JSON.stringify({ jsonrpc: "2.0", id, error })}\n`);
}

/**
 * The answer to a request that was blocked, as a line. `modern`: the request is of MCP 2026-07-28, whose results must say
 * that they are complete; its clients refuse one that does not.
 */
export function denialLine(id: RequestId | null, denial: Denial, modern: boolean): Buffer {
  if (denial.kind === "error") return errorLine(id, denial.error);
  if (id !== null) {
    const result = modern ? { ...denial.result, resultType: "complete" } : denial.result;
    return Buffer.from(`${JSON.stringify({ jsonrpc: "2.0", id, result })}\n`);
  }
  // A result belongs to a request. Without its id only an error can be sent; it says the same.
  const { content, _meta: meta } = denial.result;
  const data = meta?.[META_DENIAL];
  const message = content[0].text;
  const code = message.startsWith("Access denied") ? CODE_DENIED : CODE_UNDECIDED;
  return errorLine(null, { code, message, ...(data === undefined ? {} : { data }) });
}
