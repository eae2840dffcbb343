import type { ExtensionSpec, Runtime, ServiceHealth } from "@countersign/pipeline";
import { ENDPOINT_SCHEMA, openToNetwork } from "../listen.ts";
import { createReadServer, type Page } from "./read-server.ts";

interface Config {
  readonly endpoint: string;
}

/** Is it alive, does it work? */
export const healthCheckExtension: ExtensionSpec = {
  kind: "extension",
  type: "health_check",
  stability: "beta",
  summary:
    "HTTP: / and /ready answer 200 when events may be sent here, else 503; /live when the process works.",
  signals: [],
  config: {
    type: "object",
    additionalProperties: false,
    properties: { endpoint: { ...ENDPOINT_SCHEMA, default: "127.0.0.1:13133" } },
  },
  check: ({ endpoint }: Config) => openToNetwork(endpoint, ["endpoint"]),
  create: ({ endpoint }: Config, runtime) => {
    const ready = (): Page => readyPage(runtime);
    const pages = new Map([
      ["/", ready],
      ["/ready", ready],
      ["/live", livePage],
    ]);
    return createReadServer({ endpoint, runtime, pages });
  },
};

function livePage(): Page {
  return jsonPage(200, { status: "alive" });
}

/** Ready: it may be sent to. What stands beside the way in, and what is `degraded` and works on it by itself, is only listed. */
function readyPage({ service }: Runtime): Page {
  const health = service.health();
  const problems = problemsOf(health);
  const failed = problems.some(({ refusesSenders }) => refusesSenders);
  const ready = health.phase === "running" && !failed;
  const status = ready ? "ready" : failed ? "failed" : health.phase;
  return jsonPage(ready ? 200 : 503, { status, problems });
}

interface ComponentProblem {
  readonly component: string;
  readonly state: string;
  readonly detail?: string;
  readonly refusesSenders: boolean;
}

function problemsOf({ components, beside }: ServiceHealth): readonly ComponentProblem[] {
  return [...components].flatMap(([component, state]) =>
    state.state === "ok"
      ? []
      : [
          {
            component,
            ...state,
            refusesSenders: state.state === "failed" && !beside.has(component),
          },
        ],
  );
}

function jsonPage(status: number, body: object): Page {
  return { status, type: "application/json", body: `${JSON.stringify(body)}\n` };
}
