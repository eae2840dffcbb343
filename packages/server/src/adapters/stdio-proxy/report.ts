/** What the guard does not forward besides denied requests. Counted; of the content nothing is kept. */
export type Oddity =
  | "garbage"
  | "unknown_answer"
  | "oversized_answer"
  | "server_requests"
  | "stray_response"
  | "dropped_notification"
  | "overload"
  | "internal";

const TEXTS: Readonly<Record<Oddity, string>> = {
  garbage:
    "the server wrote lines to stdout that are no JSON-RPC messages; not forwarded (it should log to stderr)",
  unknown_answer: "the server answered requests that are not open; not forwarded",
  oversized_answer: "the server sent lines over the limit; their calls ended in an error",
  server_requests: "the server has too many requests open; further ones were refused",
  stray_response: "the client answered requests that the server never made; not forwarded",
  dropped_notification: "the client sent notifications that may not pass; not forwarded",
  overload: "too many calls open at once; further ones were refused",
  internal: "a call failed inside the guard; it was not run",
};

/** Tells the operator, on standard error, once per kind; the totals come at the end. */
export interface Report {
  note(oddity: Oddity): void;
  /** The totals of what occurred more than once. */
  close(): void;
}

/** @param write takes one line of text, without its end */
export function createReport(write: (line: string) => void): Report {
  const counts = new Map<Oddity, number>();
  return {
    note(oddity) {
      const count = (counts.get(oddity) ?? 0) + 1;
      counts.set(oddity, count);
      if (count === 1) write(TEXTS[oddity]);
    },
    close() {
      for (const [oddity, count] of counts)
        if (count > 1) write(`${count} times: ${TEXTS[oddity]}`);
    },
  };
}
