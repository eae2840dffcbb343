// Events that each detection must find, and events that look like them and must not be found.
import {
  canonicalBytes,
  type DecisionEvent,
  kindOf,
  type SealedEvent,
  unseal,
  uuidv7,
} from "@countersign/model";
import { changedEvent, KINDS } from "../../packages/processor/src/testing/kinds.ts";

/** An event, and the detections that find it. */
export interface SceneEvent {
  readonly label: string;
  readonly event: SealedEvent;
  readonly found: readonly string[];
}

/** Who is found by what counts or remembers, `issuer subject` and, for tools, `issuer subject server tool`. */
export const FOUND_HUMANS: Readonly<Record<string, readonly string[]>> = {
  denied_burst: ["https://idp.example burst"],
  denied_many_resources: ["https://idp.example counter"],
  first_seen_tool: [
    "https://idp.example forgetful urn:mcp:tickets read_ticket",
    "https://idp.example newcomer urn:mcp:tickets read_ticket",
    "https://idp.example regular urn:mcp:billing read_ticket",
    "https://idp.example regular urn:mcp:tickets refund",
  ],
};

const ALLOW = 2;
const DENY = 4;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

const DENIED = ["call_denied"];

/** Each way in which an event can look, and what finds it. */
const KIND_FOUND: Readonly<Record<keyof typeof KINDS, readonly string[]>> = {
  allow: [],
  deny: DENIED,
  error: [],
  unidentified: DENIED,
  observed: [...DENIED, "observe_mode"],
  break_glass: [...DENIED, "break_glass"],
  list: [],
  span: [],
  nameless: DENIED,
  full: DENIED,
  newer: [],
  outcome: [],
  outcome_rpc_error: [],
  outcome_unknown: [],
  start: [],
  start_observe: ["observe_mode"],
  heartbeat: [],
  lost_records: ["record_lost"],
  lost_calls: ["record_lost", "observe_mode"],
  stop: [],
  stop_fault: ["record_lost"],
  withheld: ["leak_withheld"],
  finding_gap: ["chain_gap"],
  finding_fork: ["chain_fork"],
  finding_duplicate: [],
  finding_no_stop: ["emitter_silent"],
  finding_silent: ["emitter_silent"],
  finding_no_outcome: [],
  finding_clock: [],
  finding_policy: ["policy_unknown"],
  year_9999: [],
  year_2038: [],
};

type Event = Parameters<Parameters<typeof changedEvent>[1]>[0];
type Change = (event: Event) => void;

const assurance = (value: string): Change => human({ assurance: value });
const human =
  (members: object): Change =>
  (event) =>
    void (event.data["human"] = { ...(event.data["human"] as object), ...members });
const data =
  (members: object): Change =>
  (event) =>
    void Object.assign(event.data, members);
const both =
  (...changes: Change[]): Change =>
  (event) => {
    for (const change of changes) change(event);
  };

/** What is like something that is found, or is found although it looks like nothing. */
const MORE: readonly [label: string, seq: number, change: Change, found: readonly string[]][] = [
  ["a bearer's call", ALLOW, assurance("bearer"), []],
  ["a call with a proven token", ALLOW, assurance("token_bound"), []],
  ["a call of the process's account", ALLOW, assurance("os_user"), ["weak_assurance"]],
  ["a call of an asserted human", ALLOW, assurance("asserted"), ["weak_assurance"]],
  ["an asserted human, denied", DENY, assurance("asserted"), DENIED],
  [
    "nobody's call, run in observe mode",
    DENY,
    both(data({ mode: "observe", effect: "run", reason: "identity_missing" }), (event) => {
      delete event.data["human"];
      delete event.data["checks"];
    }),
    [...DENIED, "observe_mode", "weak_assurance"],
  ],
  ["a start in break-glass", 0, data({ mode: "break_glass" }), ["break_glass"]],
  ["a start after a fault", 0, ended("journal_fault"), ["record_lost"]],
  ["a start after corruption", 0, ended("corrupt"), ["record_lost"]],
  [
    "calls lost in break-glass",
    1,
    both(data({ what: "calls", reason: "break_glass" }), (event) => {
      delete event.data["records"];
      event.data["calls"] = {
        since: "2026-11-22T08:00:00.000Z",
        until: "2026-11-22T08:10:00.000Z",
      };
    }),
    ["record_lost", "break_glass"],
  ],
  ["a tool called like a mode", ALLOW, named("break_glass"), []],
  ["a tool called like a query", ALLOW, named("x/OR/countersign.kind-withheld"), []],
  ["a tool called like a finding", ALLOW, named("FORK"), []],
  ["a human called like an assurance", ALLOW, human({ subject: "asserted" }), []],
];

function ended(end: string): Change {
  return (event) => void (event.data["previous"] = { ...(event.data["previous"] as object), end });
}

function named(name: string): Change {
  return (event) => void (event.data.call["name"] = name);
}

/** Everything, as of `nowMs`: what is found by itself, then what is found in its number or for the first time. */
export function detectionScene(nowMs: number): readonly SceneEvent[] {
  const alone = [
    ...Object.entries(KIND_FOUND).map(([label, found]) => {
      return { label, found, event: KINDS[label] as SealedEvent };
    }),
    ...MORE.map(([label, seq, change, found]) => {
      return { label, found, event: changedEvent(seq, change) };
    }),
  ].map((one) => ({ ...one, event: movedTo(one.event, nowMs - 2 * MINUTE_MS) }));
  const recent = [...alone, ...denials(nowMs)];
  return [...recent, ...habits(recent, nowMs - DAY_MS), ...firstCalls(nowMs)];
}

/** The same event under an id and a time of its own. */
function movedTo({ event }: SealedEvent, timeMs: number): SealedEvent {
  const time = new Date(timeMs).toISOString();
  return unseal(canonicalBytes({ ...event, id: uuidv7(), time }));
}

function denied(subject: string, resource: string, timeMs: number, issuer?: string): SceneEvent {
  const change = both(human({ subject, ...(issuer === undefined ? {} : { issuer }) }), (event) => {
    const [check] = (event.data["checks"] as { verdict: string }[]).filter(
      ({ verdict }) => verdict === "deny",
    );
    event.data["checks"] = [{ ...check, resource: { type: "ticket", id: resource } }];
  });
  const event = movedTo(changedEvent(DENY, change), timeMs);
  return { label: `${subject} denied on ${resource}`, event, found: DENIED };
}

const lately = (at: number): number => (8 - at * 0.5) * MINUTE_MS;
const longAgo = (at: number): number => (40 - at) * MINUTE_MS;

function denials(nowMs: number): SceneEvent[] {
  const times = (count: number, ago: (at: number) => number): number[] =>
    Array.from({ length: count }, (_, at) => nowMs - ago(at));
  return [
    ...times(10, lately).map((time) => denied("burst", "T-1", time)),
    // One too few; more of them were before.
    ...times(9, lately).map((time) => denied("nine", "T-1", time)),
    ...times(9, longAgo).map((time) => denied("nine", "T-1", time)),
    // One subject of two issuers is two humans.
    ...times(6, lately).map((time) => denied("namesake", "T-1", time)),
    ...times(6, lately).map((time) => denied("namesake", "T-1", time, "https://other.example")),
    ...times(5, lately).map((time, at) => denied("counter", `T-${at}`, time)),
    ...times(8, lately).map((time, at) => denied("four", `T-${at % 4}`, time)),
    ...times(12, lately).map((time) => called("busy", "read_ticket", time)),
  ];
}

/** Who is found for something else is not found for a first call: all of them called the same the day before. */
function habits(scene: readonly SceneEvent[], timeMs: number): SceneEvent[] {
  const known = new Map<string, SceneEvent>();
  for (const { event } of scene) {
    if (kindOf(event.event.type) !== "decision") continue;
    const { human: who, call } = (event.event as DecisionEvent).data;
    if (who === undefined || call.name === undefined) continue;
    const { subject, issuer } = who;
    const one = called(subject, call.name, timeMs, { issuer });
    known.set(one.label, one);
  }
  return [...known.values()];
}

function called(
  subject: string,
  name: string,
  timeMs: number,
  { server = "urn:mcp:tickets", issuer = "https://idp.example" } = {},
): SceneEvent {
  const change = both(human({ subject, issuer }), named(name), data({ server: { id: server } }));
  const event = movedTo(changedEvent(ALLOW, change), timeMs);
  return { label: `${subject} of ${issuer} called ${name} of ${server}`, event, found: [] };
}

function firstCalls(nowMs: number): SceneEvent[] {
  const now = nowMs - 5 * MINUTE_MS;
  return [
    called("regular", "read_ticket", nowMs - 5 * DAY_MS),
    called("regular", "read_ticket", now),
    called("regular", "refund", now),
    called("regular", "read_ticket", now, { server: "urn:mcp:billing" }),
    called("newcomer", "read_ticket", now),
    // Before all that is remembered.
    called("forgetful", "read_ticket", nowMs - 40 * DAY_MS),
    called("forgetful", "read_ticket", now),
    // New, but hours ago: found then.
    called("yesterday", "read_ticket", nowMs - DAY_MS),
    called("yesterday", "read_ticket", now),
  ];
}
