export { ASSURANCES, assuranceAtLeast } from "./assurance.ts";
export type { Assurance } from "./assurance.ts";
export * from "./attributes.ts";
export { BOUNDS, overBound } from "./bounds.ts";
export type { Identifying } from "./bounds.ts";
export { canonicalBytes, canonicalJson, sha256Hex } from "./canonical.ts";
export { verifyChain } from "./chain.ts";
export type { ChainAnchor, ChainResult } from "./chain.ts";
export { detect, detectInId, findAll, MAX_SCANNED_CHARACTERS, redactText } from "./detect.ts";
export type { RedactAction, RedactedText } from "./detect.ts";
export type { Detector, Match } from "./detect/scan.ts";
export { suspectText } from "./detect/suspect.ts";
export {
  draftDecision,
  draftHeartbeat,
  draftLost,
  draftOutcome,
  draftStart,
  draftStop,
} from "./draft.ts";
export type {
  DecisionFields,
  EventDraft,
  HeartbeatFields,
  LostFields,
  OutcomeFields,
  StartFields,
  StopFields,
} from "./draft.ts";
export type { CallFields } from "./draft-parts.ts";
export { CountersignError, errorCode } from "./error.ts";
export type { ErrorCode, ErrorOptions } from "./error.ts";
export { deciding, zeroCounters } from "./event.ts";
export type {
  Agent,
  Binding,
  CallTransport,
  Chain,
  Check,
  CheckReason,
  CheckVerdict,
  Counters,
  CountersignEvent,
  DecisionCall,
  DecisionEvent,
  Durability,
  Effect,
  Engine,
  EpochEnd,
  EventKind,
  FindingEvent,
  FindingKind,
  GateKind,
  HeartbeatEvent,
  Human,
  LostEvent,
  LostReason,
  Mode,
  ObjectRef,
  OutcomeEvent,
  OutcomeStatus,
  Principal,
  RecordedCall,
  SdkCoverage,
  ServerInfo,
  StartEvent,
  StopEvent,
  StopReason,
  WithheldEvent,
} from "./event.ts";
export { findingEvent } from "./finding.ts";
export type { FindingFields } from "./finding.ts";
export { OTHER_METHOD, requestIdText, traceparentText } from "./free-text.ts";
export { findLeak, leakInIds, leakInUnknown } from "./leak.ts";
export type { Leak } from "./leak.ts";
export { silentLogger, stderrLogger } from "./log.ts";
export type { LogFields, Logger } from "./log.ts";
export { isHttpsOrLoopback, isLoopbackHost } from "./loopback.ts";
export {
  ASSERTED_ISSUER,
  CONNECTOR_SOURCE_PREFIX,
  dataSchema,
  EMITTER_SOURCE_PREFIX,
  EVENT_SCHEMA_ID,
  EVENT_TYPE_PREFIX,
  eventName,
  eventType,
  kindOf,
  EXEC_API_VERSION,
  META_CALL_PROOF,
  META_DENIAL,
  NAME_ATTRIBUTE,
  NAME_DNS,
  NAME_HEADER,
  NAME_URN,
  OS_ISSUER,
  SCOPE_GATE,
  TRACER_CLIENT,
  TRACER_SERVER,
} from "./names.ts";
export { boundText, byteLength, isNeutral, neutralise, UNSAFE_RANGES } from "./neutralise.ts";
export {
  decodeObjectId,
  encodeObjectId,
  isObjectId,
  isObjectType,
  MAX_OBJECT_ID_BYTES,
  unescapeObjectId,
} from "./object-id.ts";
export { decisionOf, REASONS } from "./reason.ts";
export type { Decision, Reason } from "./reason.ts";
export { GENESIS, letGoOfParsed, seal, unseal, withheldEvent } from "./seal.ts";
export type { SealedEvent, SealedText } from "./seal.ts";
export { spanDecision, spanDecisionId } from "./span-decision.ts";
export type { SpanDecisionFields } from "./span-decision.ts";
export { MCP_ALLOWLIST, SPAN_ATTRIBUTES } from "./span-attributes.ts";
export type {
  AttributeAllowlist,
  AttributeLevel,
  SpanAttribute,
  SpanName,
} from "./span-attributes.ts";
export { eventTime } from "./time.ts";
export { unknownMembers } from "./unknown-members.ts";
export type { UnknownMember } from "./unknown-members.ts";
export { uuidv7, uuidv8From } from "./uuid.ts";
export { isWhollyKnown, validateClosed, validateOpen } from "./validate.ts";
export type { SchemaProblem } from "./validate.ts";
