import type { Ending } from "../../enforce.ts";
import { type Interest, type Member, type ScannedObject, member, scan } from "./scan.ts";
import type { RequestId } from "./message.ts";
import { isRequestId } from "./skim.ts";

/** One line of the server, read as far as the guard needs it. The client gets the bytes as they are. */
export type ServerMessage =
  | { readonly kind: "request"; readonly id: RequestId }
  /** `cancels`: the server takes back a request of its own. */
  | { readonly kind: "notification"; readonly cancels?: RequestId }
  /** `id` is absent in an error about a message that the server could not read. */
  | { readonly kind: "response"; readonly id?: RequestId; readonly answer: Answer }
  | { readonly kind: "garbage" };

/** A response, by byte offsets. Exactly one of `result` and `error` is there. */
export interface Answer {
  readonly line: Buffer;
  readonly result?: Member;
  readonly error?: Member;
}

/** A result may nest deeper than an argument: it reaches no gate. The bound keeps the scanner's stack finite. */
const MAX_DEPTH = 1_000;
const INTEREST: Interest = { params: {}, result: { task: {} }, error: {} };

/** Reads one line of the server. Never throws. Not a message at all: `garbage`, which is reported and not forwarded. */
export function readServerLine(line: Buffer): ServerMessage {
  const { root } = scan(line, { strict: false, maxDepth: MAX_DEPTH, interest: INTEREST }) as {
    root?: ScannedObject;
  };
  if (root === undefined || text(line, member(root, "jsonrpc")) !== '"2.0"')
    return { kind: "garbage" };
  const idAt = member(root, "id");
  const id = idAt === undefined ? undefined : idOf(line, idAt);
  const result = member(root, "result");
  const error = member(root, "error");
  const method = member(root, "method");
  if (method !== undefined) {
    if (result !== undefined || error !== undefined) return { kind: "garbage" };
    if (idAt === undefined) return notification(line, method, member(root, "params"));
    return id === undefined ? { kind: "garbage" } : { kind: "request", id };
  }
  if ((result === undefined) === (error === undefined)) return { kind: "garbage" };
  const answer = {
    line,
    ...(result === undefined ? {} : { result }),
    ...(error === undefined ? {} : { error }),
  };
  if (id !== undefined) return { kind: "response", id, answer };
  return error === undefined ? { kind: "garbage" } : { kind: "response", answer };
}

function notification(line: Buffer, method: Member, params: Member | undefined): ServerMessage {
  if (text(line, method) !== '"notifications/cancelled"') return { kind: "notification" };
  const at = member(params?.object, "requestId");
  const cancels = at === undefined ? undefined : idOf(line, at);
  return cancels === undefined ? { kind: "notification" } : { kind: "notification", cancels };
}

/** How a call ended, by its answer (MCP: isError; input_required since 2026-07-28; tasks, of 2025-11-25 and the extension). */
export function endingOf({ line, result, error }: Answer): Ending {
  if (error !== undefined) {
    const code = Number(text(line, member(error.object, "code")));
    return Number.isSafeInteger(code)
      ? { status: "rpc_error", rpcCode: code }
      : { status: "rpc_error" };
  }
  const object = result?.object;
  const type = stringAt(line, member(object, "resultType"));
  if (type === "input_required") return { status: "input_required" };
  const task = member(object, "task")?.object ?? (type === "task" ? object : undefined);
  const taskId = stringAt(line, member(task, "taskId"));
  if (taskId !== undefined) return { status: "task_created", taskId };
  return text(line, member(object, "isError")) === "true"
    ? { status: "tool_error" }
    : { status: "completed" };
}

/** The result as a value, or undefined: the tolerant scan lets strings pass that `JSON.parse` does not. */
export function resultOf({ line, result }: Answer): Record<string, unknown> | undefined {
  if (result?.object === undefined) return undefined;
  try {
    return JSON.parse(line.toString("utf8", result.start, result.end)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** The server's line with another result: a filtered list. Only here is anything of the server written anew. */
export function withResult({ line, result }: Answer, value: object): Buffer {
  if (result === undefined) return line;
  return Buffer.concat([
    line.subarray(0, result.start),
    Buffer.from(JSON.stringify(value)),
    line.subarray(result.end),
  ]);
}

function idOf(line: Buffer, at: Member): RequestId | undefined {
  const id = valueAt(line, at);
  return isRequestId(id) ? id : undefined;
}

function stringAt(line: Buffer, at: Member | undefined): string | undefined {
  const value = at === undefined ? undefined : valueAt(line, at);
  return typeof value === "string" ? value : undefined;
}

/** Values the guard looks at are short; a long one is none of them. */
const MAX_VALUE_BYTES = 2_048;

function valueAt(line: Buffer, at: Member): unknown {
  const raw = text(line, at);
  try {
    return raw === undefined ? undefined : (JSON.parse(raw) as unknown);
  } catch {
    return undefined;
  }
}

function text(line: Buffer, at: Member | undefined): string | undefined {
  if (at === undefined || at.end - at.start > MAX_VALUE_BYTES) return undefined;
  return line.toString("utf8", at.start, at.end);
}
