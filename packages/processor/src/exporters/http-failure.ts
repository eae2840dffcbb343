// What an answer, or none, means: again later, only after somebody mended something, or never.
import { CountersignError, type ErrorOptions } from "@countersign/model";
import type { Runtime } from "@countersign/pipeline";
import type { PostAnswer } from "../otlp/post.ts";

/**
 * Health of a destination. `halted`: nothing gets through until somebody mends it; it is tried again all the same, so that it goes on
 * by itself then. Every sentence is a constant: no text of the destination, nothing of an event.
 */
export interface SinkHealth {
  readonly id: string;
  /** It took something. */
  well(): void;
  /** It will come round: asks for less, is away. */
  degraded(detail: string): void;
  /** Somebody has to do something: `detail` says what is wrong and what to do. */
  halted(detail: string): void;
}

/** Says to the service how a destination is. */
export function createSinkHealth(runtime: Runtime): SinkHealth {
  let isHalted = false;
  return {
    id: runtime.id,
    well: () => {
      isHalted = false;
      runtime.report({ state: "ok" });
    },
    // What halted is not less wrong because it is also away.
    degraded: (detail) => {
      if (!isHalted) runtime.report({ state: "degraded", detail });
    },
    halted: (detail) => {
      isHalted = true;
      runtime.report({ state: "failed", detail });
    },
  };
}

/** The failure of a destination that somebody has to mend first: UNAVAILABLE, so that the batch waits for it. */
export function haltedBy(
  health: SinkHealth,
  detail: string,
  options?: ErrorOptions,
): CountersignError {
  health.halted(detail);
  return new CountersignError("UNAVAILABLE", `${health.id}: ${detail}`, options);
}

/** The failure of a destination that comes round by itself. */
export function awayBy(
  health: SinkHealth,
  detail: string,
  options?: ErrorOptions,
): CountersignError {
  health.degraded(detail);
  return new CountersignError("UNAVAILABLE", `${health.id}: ${detail}`, options);
}

/** The failure of a destination that asks for less. */
export function busyBy(
  health: SinkHealth,
  detail: string,
  options?: ErrorOptions,
): CountersignError {
  health.degraded(detail);
  return new CountersignError("OVERLOADED", `${health.id}: ${detail}`, options);
}

const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 500, 502, 504]);
const CREDENTIALS: ReadonlySet<number> = new Set([401, 403, 407]);
/** Said of what was sent, and not of where to, how, or by whom. */
const CONTENT: ReadonlySet<number> = new Set([400, 413, 422]);

/**
 * The failure that a status means, for exporters to whose protocol it means nothing else. Only what is about the content is
 * REJECTED: a wrong path or a login page must not send a day of events to the dead letters.
 */
export function failureOf(
  answer: PostAnswer,
  health: SinkHealth,
  options: { credentials: string },
): CountersignError {
  const { status } = answer;
  if (CREDENTIALS.has(status))
    return haltedBy(
      health,
      `the endpoint refuses our credentials (${status}); check ${options.credentials}`,
    );
  if (status === 429 || status === 503)
    return busyBy(health, `the endpoint asks for less (${status})`, retryAfter(answer));
  if (TRANSIENT.has(status) || status > 505)
    return awayBy(health, `the endpoint fails (${status})`, retryAfter(answer));
  if (CONTENT.has(status))
    return new CountersignError(
      "REJECTED",
      `${health.id}: the endpoint refuses what was sent (${status})`,
    );
  if (status >= 300 && status < 400)
    return haltedBy(
      health,
      `the endpoint redirects (${status}), which is not followed; write the address it redirects to`,
    );
  return haltedBy(health, `the endpoint does not take this (${status}); check \`endpoint\``);
}

/** What `Retry-After` says (RFC 9110, section 10.2.3): seconds, or a date. Nothing for what makes no sense. */
export function retryAfter(
  { retryAfter: text }: PostAnswer,
  nowMs: number = Date.now(),
): { retryAfterMs?: number } {
  if (text === undefined) return {};
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : httpDateMs(text) - nowMs;
  return Number.isFinite(ms) ? { retryAfterMs: Math.max(0, ms) } : {};
}

/** All three forms of an HTTP date end in GMT or, asctime's, in a year; `Date.parse` alone would take asctime's for local time. */
function httpDateMs(text: string): number {
  if (!/^[A-Z][a-z]{2}/.test(text)) return Number.NaN;
  return Date.parse(text.endsWith(" GMT") ? text : `${text} GMT`);
}

/**
 * The JSON of an answer; undefined when there is none: HTML of a proxy or a login page, half a body, one without end. The status
 * alone is then not to be believed.
 */
export function jsonOf(answer: PostAnswer): Readonly<Record<string, unknown>> | undefined {
  if (!answer.isWhole) return undefined;
  try {
    const value: unknown = JSON.parse(answer.body.toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A success that is none of the protocol's. Half a body comes round; a page in place of it has to be mended. */
export function notOurs(
  answer: PostAnswer,
  health: SinkHealth,
  protocol: string,
): CountersignError {
  return answer.isWhole
    ? haltedBy(
        health,
        `what answers is not ${protocol} (${answer.status}); check \`endpoint\`: is there a proxy or a login page?`,
      )
    : awayBy(health, "the answer broke off, or was too long; the outcome is unknown");
}

const TLS_CODE = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_|EPROTO$)/;

/** No answer. Messages have the system's code and nothing else of the cause. */
export function noAnswer(of: {
  cause: unknown;
  health: SinkHealth;
  timeoutMs: number;
  isLate: boolean;
}): CountersignError {
  const { cause, health, timeoutMs, isLate } = of;
  const code = codeOf(cause);
  if (isLate)
    return awayBy(health, `no answer within ${timeoutMs} ms; the outcome is unknown`, { cause });
  if (code === "CERT_HAS_EXPIRED")
    return haltedBy(health, "the endpoint's certificate has expired; renew it", { cause });
  if (TLS_CODE.test(code))
    return haltedBy(
      health,
      `no TLS with the endpoint (${code}); check \`tls\` and its certificate`,
      {
        cause,
      },
    );
  if (code === "ENOTFOUND")
    return awayBy(health, "the endpoint's name is not known (ENOTFOUND); check DNS", { cause });
  return awayBy(health, `cannot reach the endpoint, or it hung up (${code})`, { cause });
}

function codeOf(cause: unknown): string {
  const { code } = (cause ?? {}) as { code?: unknown };
  return typeof code === "string" && /^[A-Z0-9_]{1,64}$/.test(code) ? code : "no answer";
}
