import { decisionOf, type DecisionFields, type Effect, type Mode } from "@countersign/model";
import type { McpCall } from "./call.ts";
import type { Evaluation } from "./evaluate.ts";
import type { Policy } from "./policy/policy.ts";

const NAMED: ReadonlyMap<string, "tools" | "prompts"> = new Map([
  ["tools/call", "tools"],
  ["prompts/get", "prompts"],
]);

/** What a decision event says. Bounds, neutralising and withholding are the draft's work; this only says where things are. */
export function decisionFields(
  policy: Policy,
  call: McpCall,
  evaluation: Evaluation,
  given: {
    readonly id: string;
    readonly mode: Mode;
    readonly effect: Effect;
    readonly durationUs: number;
  },
): DecisionFields {
  const { reason, human, agent, checks, list, rule } = evaluation;
  const { name, known } = nameOf(policy, call);
  const { protocolVersion, serverInfo } = call;
  return {
    ...given,
    tenant: policy.tenant,
    decision: decisionOf(reason),
    reason,
    nameKnown: known,
    call: {
      method: call.method,
      ...(name === undefined ? {} : { name }),
      transport: call.transport,
      gate: call.gate,
      ...(protocolVersion === undefined ? {} : { protocolVersion }),
      requestId: call.requestId,
    },
    human,
    agent,
    checks,
    list,
    server: {
      id: policy.server,
      ...(serverInfo?.name === undefined ? {} : { name: serverInfo.name }),
      ...(serverInfo?.version === undefined ? {} : { version: serverInfo.version }),
    },
    policy: rule === undefined ? { digest: policy.digest } : { digest: policy.digest, rule },
    traceparent: call.traceparent,
  };
}

/** Tools and prompts have names. A URI is not recorded as one: it can carry a path, a name, a password. */
function nameOf(
  policy: Policy,
  call: McpCall,
): { readonly name?: string; readonly known: boolean } {
  const params = call.params as
    | {
        readonly name?: unknown;
        readonly ref?: { readonly type?: unknown; readonly name?: unknown };
      }
    | null
    | undefined;
  const ref =
    call.method === "completion/complete" && params?.ref?.type === "ref/prompt"
      ? params.ref
      : undefined;
  const section = ref === undefined ? NAMED.get(call.method) : "prompts";
  const name = section === undefined ? undefined : (ref ?? params)?.name;
  if (section === undefined || typeof name !== "string") return { known: false };
  return { name, known: call.toolKnown === true || policy[section].knows(name) };
}
