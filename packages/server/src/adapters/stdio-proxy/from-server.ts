import type { Filtered } from "../../enforce.ts";
import type { Call, Calls } from "./calls.ts";
import type { RequestId } from "./message.ts";
import type { Outlet } from "./outlet.ts";
import {
  CODE_INTERNAL,
  TEXT_ANSWER_TOO_LARGE,
  TEXT_ANSWER_UNREADABLE,
  denialLine,
  errorLine,
} from "./reply.ts";
import type { Report } from "./report.ts";
import { type Answer, endingOf, readServerLine, resultOf, withResult } from "./server-message.ts";
import type { Session } from "./session.ts";
import type { Skimmed } from "./skim.ts";

/** What both directions share. */
export interface Shared {
  readonly calls: Calls;
  /** Ids of the server's own requests that the client has not answered. */
  readonly serverRequests: Set<RequestId>;
  readonly session: Session;
  readonly toClient: Outlet;
  readonly toServer: Outlet;
  readonly report: Report;
}

/** Bounds of what the server may have open. */
export interface ServerLimits {
  readonly maxServerRequests: number;
}

/** Lines of the server: answers meet their calls, lists are filtered, the rest passes as it is. */
export class FromServer {
  readonly #shared: Shared;
  readonly #limits: ServerLimits;
  readonly #filtering = new Set<Promise<void>>();

  constructor(shared: Shared, limits: ServerLimits) {
    this.#shared = shared;
    this.#limits = limits;
  }

  line(line: Buffer): void {
    const message = readServerLine(line);
    switch (message.kind) {
      case "notification":
        if (message.cancels !== undefined) this.#shared.serverRequests.delete(message.cancels);
        this.#shared.toClient.write(line);
        break;
      case "request":
        this.#request(message.id, line);
        break;
      case "response":
        if (message.id === undefined) this.#shared.toClient.write(line);
        else this.#response(message.id, message.answer);
        break;
      case "garbage":
        if (!isBlank(line)) this.#shared.report.note("garbage");
        break;
    }
  }

  /** Resolves when the lists that have come are filtered and sent. */
  async idle(): Promise<void> {
    await Promise.all(this.#filtering);
  }

  oversized({ id }: Skimmed): void {
    this.#shared.report.note("oversized_answer");
    const call = id === undefined ? undefined : this.#shared.calls.get(id);
    if (call?.running !== undefined) this.#fail(call, TEXT_ANSWER_TOO_LARGE);
  }

  #request(id: RequestId, line: Buffer): void {
    const { serverRequests, toClient, toServer, report } = this.#shared;
    if (serverRequests.size >= this.#limits.maxServerRequests) {
      report.note("server_requests");
      toServer.write(
        errorLine(id, { code: CODE_INTERNAL, message: "Too many requests are open." }),
      );
      return;
    }
    serverRequests.add(id);
    toClient.write(line);
  }

  #response(id: RequestId, answer: Answer): void {
    const { calls, session, report } = this.#shared;
    const call = calls.get(id);
    if (call?.running === undefined) {
      // After a cancel an answer may well be on its way (MCP, cancellation); nobody waits for it.
      if (!calls.late(id)) report.note("unknown_answer");
      return;
    }
    if (call.running.filter !== undefined && answer.result !== undefined) {
      const filtering = this.#filter(call, answer).finally(() => this.#filtering.delete(filtering));
      this.#filtering.add(filtering);
      return;
    }
    if (session.wants(call.method)) session.answered(call.method, resultOf(answer) ?? {});
    this.#answer(call, answer.line);
    call.running.finish(endingOf(answer));
  }

  #answer(call: Call, line: Buffer): void {
    this.#shared.calls.close(call);
    this.#shared.toClient.write(line);
  }

  async #filter(call: Call, answer: Answer): Promise<void> {
    const running = call.running;
    const result = resultOf(answer);
    if (running?.filter === undefined || result === undefined) {
      this.#fail(call, TEXT_ANSWER_UNREADABLE);
      return;
    }
    const filtered = await running.filter(result).catch((): Filtered | undefined => undefined);
    // Cancelled, or the server is gone, while the decision was written: the client has its answer, or wants none.
    if (call.over) return;
    if (filtered === undefined) {
      this.#shared.report.note("internal");
      this.#fail(call, TEXT_ANSWER_UNREADABLE);
    } else if ("result" in filtered) {
      this.#answer(call, withResult(answer, filtered.result));
      running.finish({ status: "completed" });
    } else {
      this.#answer(call, denialLine(call.id, filtered.denial, call.modern));
      running.finish(
        filtered.denial.kind === "error"
          ? { status: "rpc_error", rpcCode: filtered.denial.error.code }
          : { status: "tool_error" },
      );
    }
  }

  #fail(call: Call, message: string): void {
    this.#answer(call, errorLine(call.id, { code: CODE_INTERNAL, message }));
    call.running?.finish({ status: "unknown" });
  }
}

/** Nothing but white space: no message, and no garbage either. */
export function isBlank(line: Buffer): boolean {
  return line.every((byte) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d));
}
