// The fields of the text formats: one list, from which CEF and LEEF take their keys and the documentation its tables.

/**
 * In the order of a line: what people look for stands first, where a receiver that cuts lines leaves it. `cef`: key of its
 * dictionary, else `countersign…`, as it wants keys of one's own; `label`: what a custom key (`cs1`) says it holds; `leef`:
 * key of its list, else the field's own name; `text`: a formula in it is made none; `optional`: left out of a line that is too long.
 */
export const TEXT_FIELDS = {
  id: { holds: "`id`", cef: "externalId" },
  kind: { holds: "kind of event", cef: "cat", leef: "cat" },
  action: { holds: "what was done: `allowed`, `blocked`, `observed`, …", cef: "act" },
  result: { holds: "`success`, `failure`, `unknown`", cef: "outcome", leef: "outcome" },
  reason: { holds: "`reason`; an outcome's `status`", cef: "reason" },
  subject: { holds: "`human.subject`", cef: "suid", leef: "usrName" },
  person: {
    holds: "`human.subject`, to look at",
    cef: "suser",
    leef: "accountName",
    text: true,
    optional: true,
  },
  issuer: { holds: "`human.issuer`", cef: "cs6", label: "issuer", leef: "realm" },
  assurance: { holds: "`human.assurance`, `none` without a human", cef: "cs5", label: "assurance" },
  method: { holds: "`call.method`", cef: "requestMethod" },
  name: { holds: "`call.name`", cef: "cs1", label: "name", text: true },
  permission: { holds: "deciding check: `permission`", cef: "cs2", label: "permission" },
  resource: { holds: "deciding check: `resource`, as `type:id`", cef: "cs3", label: "resource" },
  rule: { holds: "`policy.rule`", cef: "cs4", label: "rule", leef: "policy" },
  serverId: { holds: "`server.id`", cef: "destinationServiceName" },
  agentId: { holds: "`agent.id`", cef: "sourceServiceName" },
  decisionId: { holds: "a decision's `id`; an outcome's `decisionId`" },
  tenant: { holds: "`tenant`" },
  emitter: { holds: "`chain.emitter`", cef: "deviceExternalId" },
  epoch: { holds: "`chain.epoch`" },
  seq: { holds: "`chain.seq`", cef: "cn1", label: "seq" },
  prev: { holds: "`chain.prev`" },
  hash: { holds: "SHA-256 of the sealed bytes" },
  source: { holds: "`source`" },
  evidence: { holds: "`evidence`" },
  mode: { holds: "`mode`" },
  decision: { holds: "`decision`" },
  effect: { holds: "`effect`" },
  transport: { holds: "`call.transport`" },
  gate: { holds: "`call.gate`; a start's `gate`" },
  nameWithheld: { holds: "`call.nameWithheld`" },
  protocolVersion: { holds: "`call.protocolVersion`" },
  requestId: { holds: "`call.requestId`" },
  paramsDigest: { holds: "`call.digest`" },
  traceId: { holds: "`traceparent`: trace id" },
  spanId: { holds: "`traceparent`: span id" },
  traceFlags: { holds: "`traceparent`: flags" },
  identityMethod: { holds: "`human.method`" },
  authTime: { holds: "`human.authTime`" },
  keyThumbprint: { holds: "`human.binding.jkt`" },
  tokenId: { holds: "`human.binding.jti`" },
  tokenSha256: { holds: "`human.binding.tokenSha256`" },
  actors: { holds: "`agent.actors`, as JSON" },
  checkSubject: { holds: "deciding check: `subject`, as `type:id`" },
  verdict: { holds: "deciding check: `verdict`" },
  checkReason: { holds: "deciding check: `reason`" },
  engine: { holds: "deciding check: `engine`" },
  expiresAt: { holds: "deciding check: `expiresAt`" },
  checks: { holds: "`checks`, as JSON, when there are several" },
  listOffered: { holds: "`list.offered`" },
  listShown: { holds: "`list.shown`" },
  policyDigest: { holds: "`policy.digest`" },
  durationUs: { holds: "`durationUs`", cef: "cn3", label: "durationUs" },
  rpcCode: { holds: "`rpcCode`" },
  epochNumber: { holds: "`epochNumber`" },
  previousEpoch: { holds: "`previous.epoch`" },
  previousSeq: { holds: "`previous.seq`" },
  previousHash: { holds: "`previous.hash`" },
  previousEnd: { holds: "`previous.end`" },
  durability: { holds: "`durability`" },
  policyDefault: { holds: "`policy.default`" },
  auditDenied: { holds: "`auditDenied`; also of `counters`" },
  uptimeMs: { holds: "`uptimeMs`" },
  allow: { holds: "`counters.allow`" },
  deny: { holds: "`counters.deny`" },
  error: { holds: "`counters.error`" },
  outcomes: { holds: "`counters.outcomes`" },
  notRun: { holds: "`counters.notRun`" },
  unrecorded: { holds: "`counters.unrecorded`" },
  withheld: { holds: "`counters.withheld`" },
  droppedNotifications: { holds: "`counters.droppedNotifications`" },
  journalBytes: { holds: "`journal.bytes`" },
  unacknowledged: { holds: "`journal.unacknowledged`" },
  oldestUnacknowledgedMs: { holds: "`journal.oldestUnacknowledgedMs`" },
  lost: { holds: "`what` is lost" },
  count: { holds: "`count` of what is lost", cef: "cnt" },
  lostEpoch: { holds: "`records.epoch`" },
  fromSeq: { holds: "`records.fromSeq`" },
  toSeq: { holds: "`records.toSeq`" },
  since: { holds: "`calls.since`" },
  until: { holds: "`calls.until`" },
  detector: { holds: "`detector`" },
  member: { holds: "`member`: a path, never a value" },
  finding: { holds: "`finding`" },
  ofEmitter: { holds: "`of.emitter`" },
  ofEpoch: { holds: "`of.epoch`" },
  ofSeq: { holds: "`of.seq`" },
  ofHash: { holds: "`of.hash`" },
  ofId: { holds: "`of.id`" },
  ofSource: { holds: "`of.source`" },
  missing: { holds: "`missing.what`" },
  missingFrom: { holds: "`missing.from`" },
  missingTo: { holds: "`missing.to`" },
  expectedHash: { holds: "`expected`" },
  clock: { holds: "`clock`" },
  serverName: { holds: "`server.name`", text: true, optional: true },
  serverVersion: { holds: "`server.version`", text: true, optional: true },
  agentName: { holds: "`agent.claimed.name`", cef: "sproc", text: true, optional: true },
  agentVersion: { holds: "`agent.claimed.version`", text: true, optional: true },
  consistencyToken: { holds: "deciding check: `consistencyToken`", optional: true },
  contextKeys: { holds: "deciding check: `contextKeys`, as JSON", optional: true },
  checkDurationUs: { holds: "deciding check: `durationUs`", optional: true },
  runtime: { holds: "`runtime`, as JSON", optional: true },
  sdks: { holds: "`coverage.sdks`, as JSON", optional: true },
  message: { holds: "a sentence for people", cef: "msg", leef: "msg", text: true, optional: true },
  leftOut: { holds: "optional fields that were left out of a line that was too long" },
} as const;

/** Name of a field. */
export type TextFieldName = keyof typeof TEXT_FIELDS;

/** What the list says of a field. */
export interface TextField {
  readonly holds: string;
  readonly cef?: string;
  readonly label?: string;
  readonly leef?: string;
  readonly text?: true;
  readonly optional?: true;
}

/** All fields, in the order of a line. */
export function textFields(): readonly (readonly [TextFieldName, TextField])[] {
  return Object.entries(TEXT_FIELDS) as [TextFieldName, TextField][];
}

/** Fields whose formulas are made none. */
export const TEXTS: ReadonlySet<TextFieldName> = namesWith("text");
/** Fields that may be left out of a line that is too long. */
export const OPTIONAL: ReadonlySet<TextFieldName> = namesWith("optional");

function namesWith(mark: "text" | "optional"): ReadonlySet<TextFieldName> {
  return new Set(textFields().flatMap(([name, field]) => (field[mark] === true ? [name] : [])));
}
