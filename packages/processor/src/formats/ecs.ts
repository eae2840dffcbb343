import {
  CONNECTOR_SOURCE_PREFIX,
  type CountersignEvent,
  type EventKind,
  type SealedEvent,
} from "@countersign/model";
import { decisionFields, outcomeFields } from "./ecs-call.ts";
import { heartbeatFields, lostFields, startFields, stopFields } from "./ecs-emitter.ts";
import type { Bag, EcsFields } from "./ecs-fields.ts";
import { findingFields, withheldFields } from "./ecs-processor.ts";
import type { Format } from "./format.ts";
import { type EventOf, type Gist, gistOf } from "./gist.ts";
import { jsonLine } from "./text.ts";
import { eventMilliseconds } from "./time.ts";

/** Elastic Common Schema 9.4.0, every kind of event. What ECS has no field for is under `countersign`. */
export const ecsFormat: Format = {
  version: "ecs@9.4.0+1",
  shape: "json",
  line: (event) => jsonLine("ecs", toEcs(event)),
};

const FIELDS: { readonly [Kind in EventKind]: (event: EventOf<Kind>) => EcsFields } = {
  decision: decisionFields,
  outcome: outcomeFields,
  start: startFields,
  heartbeat: heartbeatFields,
  lost: lostFields,
  stop: stopFields,
  withheld: withheldFields,
  finding: findingFields,
};

/** @throws INPUT_INVALID for an unknown kind or major, or a time that is none */
function toEcs(sealed: SealedEvent): Bag {
  const { event, hash } = sealed;
  const gist = gistOf(event);
  eventMilliseconds(event.time);
  const fields = (FIELDS[gist.kind] as (event: CountersignEvent) => EcsFields)(event);
  const tenant = event.data.tenant;
  return {
    "@timestamp": event.time,
    ecs: { version: "9.4.0" },
    message: gist.message,
    event: { ...eventFields(event, gist), hash, ...fields.event },
    organization: { id: tenant },
    observer: observerOf(event.source),
    ...fields.root,
    countersign: { kind: gist.kind, type: event.type, tenant, ...fields.ours },
  };
}

function eventFields(event: CountersignEvent, gist: Gist): Bag {
  return {
    kind: "event",
    category: ["api"],
    outcome: gist.result,
    severity: gist.severity,
    code: gist.code,
    id: event.id,
    module: "countersign",
    dataset: "countersign.events",
    provider: event.source,
    sequence: "chain" in event.data ? event.data.chain?.seq : undefined,
  };
}

/** Who saw it: an emitter's gate, or a component of a processor. */
function observerOf(source: string): Bag {
  return {
    vendor: "Countersign",
    product: "Countersign",
    type: source.startsWith(CONNECTOR_SOURCE_PREFIX) ? "processor" : "gate",
    name: source.slice(source.lastIndexOf(":") + 1),
  };
}
