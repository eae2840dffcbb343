// What HEC says: https://help.splunk.com, "Troubleshoot HTTP Event Collector", possible error codes.
import { CountersignError } from "@countersign/model";
import type { PostAnswer } from "../../otlp/post.ts";
import {
  awayBy,
  busyBy,
  failureOf,
  haltedBy,
  jsonOf,
  notOurs,
  retryAfter,
  type SinkHealth,
} from "../http-failure.ts";

/** What an answer means for the events of its request. */
export type HecAnswer =
  /** `isSlow`: it is close to its capacity. `ackId` only from tokens with indexer acknowledgement. */
  | { readonly kind: "taken"; readonly ackId: number | undefined; readonly isSlow: boolean }
  /** Something in it is refused for good; `at` is which, if HEC says so. */
  | { readonly kind: "refused"; readonly reason: string; readonly at: number | undefined }
  | { readonly kind: "too_large" }
  /** `isChannelGone`: another channel may do. */
  | {
      readonly kind: "failed";
      readonly error: CountersignError;
      readonly isChannelGone: boolean;
    };

/** Sentences for what somebody has to mend, by code. */
const HALTS: Readonly<Record<number, string>> = {
  1: "the token is disabled; enable it in Splunk, or configure another `token`",
  2: "Splunk sees no token; does a proxy take the Authorization header away?",
  3: "Splunk does not understand the Authorization header; does a proxy change it?",
  4: "Splunk does not know the token; check `token`",
  5: "the body does not reach Splunk; does a proxy take it away?",
  7: "the token may not write into the index; check `index`, and the indexes of the token",
  10: "the token has indexer acknowledgement; set `acknowledge: true`, or switch it off for the token",
  14: "the token has no indexer acknowledgement; switch it on in Splunk, or set `acknowledge: false`",
  16: "Splunk wants the token in the query, where it would be logged; let it take the header",
  21: "Splunk does not know the token; check `token`",
  22: "the token is disabled; enable it in Splunk, or configure another `token`",
};
/** About one event of the request: not JSON as HEC wants it, without `event`, with a blank one, with fields that are not flat. */
const ABOUT_AN_EVENT: ReadonlySet<number> = new Set([6, 12, 13, 15]);
/** Full queues, in several places; they empty by themselves. */
const BUSY: ReadonlySet<number> = new Set([9, 18, 19, 20, 26, 27]);
/** The request was taken, and the next ones may not be. */
const CLOSE_TO_FULL: ReadonlySet<number> = new Set([24, 25]);

/** Reads an answer to events. */
export function readHecAnswer(answer: PostAnswer, health: SinkHealth): HecAnswer {
  const { status } = answer;
  const json = jsonOf(answer);
  const code = json?.["code"];
  if (status === 413) return { kind: "too_large" };
  if (json === undefined || typeof code !== "number") return withoutCode(answer, health);
  if (status === 200 && (code === 0 || CLOSE_TO_FULL.has(code))) {
    return { kind: "taken", ackId: numberOf(json["ackId"]), isSlow: code !== 0 };
  }
  if (status === 200) return failed(notOurs(answer, health, "Splunk's HEC"));
  if (ABOUT_AN_EVENT.has(code)) {
    return { kind: "refused", reason: `hec_${code}`, at: numberOf(json["invalid-event-number"]) };
  }
  return failed(failureOfCode(code, answer, health), code === 11);
}

/** The failure that a code means which is about no event. */
export function failureOfCode(
  code: number,
  answer: PostAnswer,
  health: SinkHealth,
): CountersignError {
  const halt = HALTS[code];
  if (halt !== undefined) return haltedBy(health, `${halt} (HEC code ${code})`);
  if (BUSY.has(code))
    return busyBy(health, `Splunk is busy (HEC code ${code})`, retryAfter(answer));
  if (code === 8) return awayBy(health, "Splunk has an internal error (HEC code 8)");
  if (code === 11)
    return awayBy(health, "Splunk does not know the channel; another is used (HEC code 11)");
  if (code === 23)
    return awayBy(health, "Splunk is shutting down (HEC code 23)", retryAfter(answer));
  return withoutMeaning(answer, health);
}

function withoutCode(answer: PostAnswer, health: SinkHealth): HecAnswer {
  const { status } = answer;
  if (status >= 200 && status < 300) return failed(notOurs(answer, health, "Splunk's HEC"));
  return failed(withoutMeaning(answer, health));
}

/**
 * HEC says by a code what it refuses for good. A 400 without one comes from somebody else, or of a version that we do not know: it
 * must not cost an event.
 */
function withoutMeaning(answer: PostAnswer, health: SinkHealth): CountersignError {
  const error = failureOf(answer, health, { credentials: "`token`" });
  if (error.code !== "REJECTED") return error;
  return haltedBy(
    health,
    `what answers refuses without a reason of HEC (${answer.status}); check \`endpoint\`: is there a proxy?`,
  );
}

function failed(error: CountersignError, isChannelGone = false): HecAnswer {
  return { kind: "failed", error, isChannelGone };
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
