// A decision that another language's instrumentation reported on a span: evidence of less weight than a sealed one, in the
// same form, with the same bounds (contract, sections 2, 3 and 8).
import { BOUNDS, overBound } from "./bounds.ts";
import { canonicalBytes, sha256Hex } from "./canonical.ts";
import { type DecisionFields, draftDecision } from "./draft.ts";
import { CountersignError } from "./error.ts";
import { leakInIds } from "./leak.ts";
import { isObjectId } from "./object-id.ts";
import type { SealedEvent } from "./seal.ts";
import { uuidv8From } from "./uuid.ts";
import { validateClosed } from "./validate.ts";

/** What such a decision is made of. */
export interface SpanDecisionFields extends Omit<DecisionFields, "id"> {
  /** `urn:countersign:connector:<name>`. */
  readonly source: string;
  /** 32 and 16 hex digits. */
  readonly traceId: string;
  readonly spanId: string;
  /** When the span ended, from `eventTime`. */
  readonly time: string;
}

/** Id of the decision that a span reports: the same span gives the same id. */
export function spanDecisionId(source: string, traceId: string, spanId: string): string {
  return uuidv8From(`${source}\n${traceId}\n${spanId}`);
}

/**
 * The event of a decision span: bounded, neutralised, searched for leaks like a sealed one; it has no chain.
 * @throws INPUT_INVALID when it cannot be one; the message names the member, never its value.
 */
export function spanDecision(fields: SpanDecisionFields): SealedEvent {
  const { source, traceId, spanId, time, ...rest } = fields;
  for (const [index, { resource, subject }] of (rest.checks ?? []).entries()) {
    if (!isObjectId(resource.id)) throw invalid(`checks[${index}].resource.id is not encoded`);
    if (!isObjectId(subject.id)) throw invalid(`checks[${index}].subject.id is not encoded`);
  }
  const over = overBound(rest) ?? serverOverBound(rest.server.id);
  if (over !== undefined) throw invalid(`${over} is empty or over its bound`);
  const leak = leakInIds(rest.checks ?? []);
  if (leak !== undefined) throw invalid(`${leak.member} holds what looks like ${leak.detector}`);
  const draft = draftDecision({ ...rest, id: spanDecisionId(source, traceId, spanId) });
  const { chain: _none, ...data } = draft.event.data as { chain?: unknown };
  const event = { ...draft.event, source, time, data: { ...data, evidence: "span" } };
  const [problem] = validateClosed(event);
  if (problem !== undefined) throw invalid(`${problem.path} ${problem.message}`);
  const bytes = canonicalBytes(event);
  if (bytes.length > BOUNDS.eventBytes) throw invalid(`over ${BOUNDS.eventBytes} bytes`);
  return { bytes, hash: sha256Hex(bytes), event: event as unknown as SealedEvent["event"] };
}

function serverOverBound(id: string): string | undefined {
  return overBound({ agent: { id } }) === undefined ? undefined : "server.id";
}

function invalid(what: string): CountersignError {
  return new CountersignError("INPUT_INVALID", `span decision: ${what}`);
}
