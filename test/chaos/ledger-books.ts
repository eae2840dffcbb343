// What everybody on the way of a call says about it, and whether it is one story: what ran was decided and recorded before,
// what was recorded is in the log once, what is in the log is at the sink, and what somebody took away is found missing, nothing else.
import {
  type Chain,
  type DecisionEvent,
  type FindingEvent,
  kindOf,
  type SealedEvent,
  verifyChain,
} from "@countersign/model";

/** The books of one run. */
export interface Books {
  /** What agents asked for, each id once. */
  readonly asked: Set<string>;
  /** What agents were told: that the tool ran, that it was refused. */
  readonly toldRan: Set<string>;
  readonly toldRefused: Set<string>;
  /** What the tool says of itself: the side effect, a line for each. */
  ran: readonly string[];
  /** Every event that a journal held, by hash: on the disk after a crash, or on its way. */
  readonly journal: Map<string, SealedEvent>;
  /** Hashes of events that somebody took out of requests on the way. */
  readonly stolen: Set<string>;
  log: readonly SealedEvent[];
  /** Ids at the sink. */
  sink: readonly string[];
}

/** Empty books. */
export function newBooks(): Books {
  return {
    asked: new Set(),
    toldRan: new Set(),
    toldRefused: new Set(),
    ran: [],
    journal: new Map(),
    stolen: new Set(),
    log: [],
    sink: [],
  };
}

/** Whether the policy of the run allows it. */
export function isAllowed(id: string): boolean {
  return !id.endsWith("-x");
}

/** What does not add up; empty if all does. */
export function audit(books: Books): readonly string[] {
  const decisions = decisionsOf(books);
  return [
    ...auditEffects(books, decisions),
    ...auditAnswers(books, decisions),
    ...auditLog(books),
    ...auditSink(books),
    ...auditFindings(books),
  ];
}

function decisionsOf({ journal }: Books): Map<string, DecisionEvent[]> {
  const decisions = [...journal.values()]
    .map(({ event }) => event)
    .filter((event): event is DecisionEvent => kindOf(event.type) === "decision")
    .filter(({ data }) => data.call.method === "tools/call");
  return Map.groupBy(decisions, ticketOf);
}

/** The policy makes a decision's resource of the ticket's id. */
function ticketOf({ data }: DecisionEvent): string {
  return data.checks?.[0]?.resource.id ?? "no ticket";
}

function auditEffects(books: Books, decisions: Map<string, DecisionEvent[]>): string[] {
  const problems: string[] = [];
  const seen = new Set<string>();
  for (const id of books.ran) {
    if (seen.has(id)) problems.push(`${id}: ran twice`);
    seen.add(id);
    if (!books.asked.has(id)) problems.push(`${id}: ran, and nobody asked`);
    const allowed = decisions.get(id)?.some(({ data }) => data.effect === "run") ?? false;
    if (!allowed) problems.push(`${id}: ran without a durable decision`);
    if (!isAllowed(id)) problems.push(`${id}: ran, and is forbidden`);
  }
  for (const [id, events] of decisions) {
    if (events.length > 1) problems.push(`${id}: decided ${events.length} times`);
    if (!books.asked.has(id)) problems.push(`${id}: decided, and nobody asked`);
  }
  return problems;
}

function auditAnswers(books: Books, decisions: Map<string, DecisionEvent[]>): string[] {
  const ran = new Set(books.ran);
  const told = [...books.toldRan, ...books.toldRefused];
  return [
    ...[...books.toldRan].filter((id) => !ran.has(id)).map((id) => `${id}: told that it ran`),
    ...[...books.toldRefused].filter((id) => ran.has(id)).map((id) => `${id}: refused, and ran`),
    ...told.filter((id) => !decisions.has(id)).map((id) => `${id}: answered without a decision`),
  ];
}

function auditLog({ journal, log, stolen }: Books): string[] {
  const problems: string[] = [];
  const logged = new Set<string>();
  for (const { hash, event } of log) {
    if (logged.has(hash)) problems.push(`${event.id}: twice in the log`);
    logged.add(hash);
    const ours = ["finding", "withheld"].includes(kindOf(event.type) ?? "");
    if (!ours && !journal.has(hash)) problems.push(`${event.id}: in the log, and in no journal`);
    if (stolen.has(hash)) problems.push(`${event.id}: was taken away, and is in the log`);
  }
  for (const [hash, { event }] of journal) {
    if (!logged.has(hash) && !stolen.has(hash)) problems.push(`${event.id}: ${event.type} is lost`);
  }
  return [...problems, ...auditChains(journal)];
}

/** Numbers without a hole, each event naming the one before, and no number twice. */
function auditChains(journal: Books["journal"]): string[] {
  const epochs = Map.groupBy(journal.values(), (sealed) => chainOf(sealed).epoch);
  return [...epochs].flatMap(([epoch, events]) => {
    const chain = verifyChain(events.toSorted((a, b) => chainOf(a).seq - chainOf(b).seq));
    return chain.ok ? [] : [`${epoch}: ${chain.problem} at ${chain.seq}`];
  });
}

function auditSink({ log, sink }: Books): string[] {
  const meant = log.filter(({ event }) =>
    ["decision", "finding", "withheld"].includes(kindOf(event.type) ?? ""),
  );
  const ids = new Set(meant.map(({ event }) => event.id));
  const there = new Set(sink);
  return [
    ...[...ids].filter((id) => !there.has(id)).map((id) => `${id}: not at the sink`),
    ...[...there]
      .filter((id) => !ids.has(id))
      .map((id) => `${id}: at the sink, and not in the log`),
  ];
}

function auditFindings(books: Books): string[] {
  const expected = gapsOf(books);
  const found = books.log
    .map(({ event }) => event)
    .filter((event): event is FindingEvent => kindOf(event.type) === "finding")
    .map(({ data }) => gapText(data));
  return [
    ...expected.filter((gap) => !found.includes(gap)).map((gap) => `${gap}: not found`),
    ...found
      .filter((gap, at) => !expected.includes(gap) || found.indexOf(gap) !== at)
      .map((gap) => `${gap}: found, and is not so`),
  ];
}

function gapText({ finding, of, missing }: FindingEvent["data"]): string {
  return `${finding} ${of.epoch ?? "-"} ${missing?.from ?? "-"} to ${missing?.to ?? "-"}`;
}

/** What `continuity` has to say: each run of neighbours that were taken away. */
export function gapsOf({ journal, stolen }: Books): readonly string[] {
  const places = [...stolen].map((hash) => chainOf(journal.get(hash) as SealedEvent));
  return [...Map.groupBy(places, ({ epoch }) => epoch)].flatMap(([epoch, chains]) => {
    const numbers = chains.map(({ seq }) => seq).toSorted((a, b) => a - b);
    const firsts = numbers.filter((seq) => !numbers.includes(seq - 1));
    return firsts.map((from) => {
      let to = from;
      while (numbers.includes(to + 1)) to += 1;
      return `GAP ${epoch} ${from} to ${to}`;
    });
  });
}

function chainOf({ event }: SealedEvent): Chain {
  return (event.data as { readonly chain: Chain }).chain;
}
