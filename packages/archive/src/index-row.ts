import { deciding, type DecisionEvent, type OutcomeEvent } from "@countersign/model";

/** What happened after a decision that let the call run. */
export interface OutcomeSummary {
  readonly status: string;
  readonly durationUs: number;
  readonly rpcCode?: number;
}

/** One decision as a list shows it. Every string in it may have been chosen by an attacker. */
export interface DecisionRow {
  /** Position in the log. */
  readonly position: number;
  readonly id: string;
  /** RFC 3339, UTC, milliseconds: the emitter's clock. */
  readonly time: string;
  readonly decision: string;
  readonly reason: string;
  readonly mode: string;
  readonly effect: string;
  readonly method: string;
  /** Tool, prompt or resource, as recorded. */
  readonly name?: string;
  readonly nameWithheld?: true;
  readonly server: string;
  readonly serverName?: string;
  readonly emitter?: string;
  readonly human?: {
    readonly issuer: string;
    readonly subject: string;
    readonly assurance: string;
    /** RFC 7638 thumbprint of the login's key, where there is one. */
    readonly key?: string;
  };
  readonly agent?: { readonly id?: string; readonly claimed?: string };
  /** The deciding check. */
  readonly check?: {
    readonly permission: string;
    readonly type: string;
    readonly id: string;
    readonly verdict: string;
  };
  /** How many checks the call needed. */
  readonly checks: number;
  readonly list?: { readonly offered: number; readonly shown: number };
  readonly traceId?: string;
  readonly durationUs: number;
  readonly outcome?: OutcomeSummary;
}

/** Builds the row of a decision. */
export function decisionRow(event: DecisionEvent, position: number): DecisionRow {
  const { data } = event;
  const check = deciding(data.checks);
  const traceId = event.traceparent?.slice(3, 35);
  const serverName = data.server.name;
  return {
    position,
    id: event.id,
    time: event.time,
    decision: data.decision,
    reason: data.reason,
    mode: data.mode,
    effect: data.effect,
    method: data.call.method,
    ...(data.call.name === undefined ? {} : { name: data.call.name }),
    ...(data.call.nameWithheld === undefined ? {} : { nameWithheld: true as const }),
    server: data.server.id,
    ...(serverName === undefined ? {} : { serverName }),
    ...(data.chain === undefined ? {} : { emitter: data.chain.emitter }),
    ...whoOf(data),
    ...(check === undefined
      ? {}
      : {
          check: {
            permission: check.permission,
            type: check.resource.type,
            id: check.resource.id,
            verdict: check.verdict,
          },
        }),
    checks: data.checks?.length ?? 0,
    ...(data.list === undefined ? {} : { list: data.list }),
    ...(traceId === undefined ? {} : { traceId }),
    durationUs: data.durationUs,
  };
}

function whoOf({ human, agent }: DecisionEvent["data"]): Pick<DecisionRow, "human" | "agent"> {
  const claimed = agent?.claimed?.name;
  const key = human?.binding?.jkt;
  return {
    ...(human === undefined
      ? {}
      : {
          human: {
            issuer: human.issuer,
            subject: human.subject,
            assurance: human.assurance,
            ...(key === undefined ? {} : { key }),
          },
        }),
    ...(agent === undefined
      ? {}
      : {
          agent: {
            ...(agent.id === undefined ? {} : { id: agent.id }),
            ...(claimed === undefined ? {} : { claimed }),
          },
        }),
  };
}

/** What a text filter looks in, in lower case: the resources, and everything else that names something. */
export function searchText(event: DecisionEvent): { resources: string; words: string } {
  const { call, human, agent, server, checks } = event.data;
  const resources = (checks ?? []).map((check) => `${check.resource.type}:${check.resource.id}`);
  const names = [
    call.name,
    human?.subject,
    agent?.id,
    agent?.claimed?.name,
    server.id,
    server.name,
  ];
  return {
    resources: resources.join("\n").toLowerCase(),
    words: names
      .filter((text) => text !== undefined)
      .join("\n")
      .toLowerCase(),
  };
}

/** The part of an outcome that a list shows. */
export function outcomeSummary(event: OutcomeEvent): OutcomeSummary {
  const { status, durationUs, rpcCode } = event.data;
  return { status, durationUs, ...(rpcCode === undefined ? {} : { rpcCode }) };
}
