// This product as a target of a bench that holds other instrumentations: one file there, one row more in its tables.
// Copy it into that bench's `targets/` and name this checkout: COUNTERSIGN_ROOT=/path/to/checkout (built by `pnpm build`).
import { mkdtempSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const POLICY = `version: 1
server: urn:mcp:bench
tenant: bench
mode: enforce
durability: journal
identity: { minimum: asserted, subject: "user:{human.subject}" }
authorizer: { relationships: ["tool:echo#use@user:bench"] }
tools:
  echo: { permission: use, resource: "tool:echo" }
lists: filter
default: deny
`;

const root = resolve(process.env.COUNTERSIGN_ROOT ?? ".");
const fromOurs = createRequire(join(root, "test", "package.json"));
const load = async (name) => import(pathToFileURL(fromOurs.resolve(name)).href);

/** Spans go through a batch processor and are dropped at the last step, as with the bench's own targets. */
async function startTracing() {
  const [{ NodeSDK }, { BatchSpanProcessor }] = await Promise.all([
    load("@opentelemetry/sdk-node"),
    load("@opentelemetry/sdk-trace"),
  ]);
  const exporter = {
    export: (_spans, done) => done({ code: 0 }),
    shutdown: async () => {},
    forceFlush: async () => {},
  };
  const spanProcessors = [new BatchSpanProcessor({ exporter })];
  const sdk = new NodeSDK({ autoDetectResources: false, serviceName: "bench", spanProcessors });
  sdk.start();
  return sdk;
}

export default {
  title: "countersign: identity, policy, instant check, two sealed events on disk, spans",
  kind: "gate",
  sdk: ["v1", "v2"],
  sides: ["server"],
  env: () => ({ COUNTERSIGN_ROOT: root }),
  load: async ({ record, dir }) => {
    const sdk = await startTracing();
    const [{ instrumentServer }, { openGate }] = await Promise.all([
      load("@countersign/server"),
      load("@countersign/gate"),
    ]);
    const state = mkdtempSync(join(dir, "state-"));
    const policyFile = join(state, "policy.yaml");
    writeFileSync(policyFile, POLICY);
    const env = { COUNTERSIGN_STATE_DIR: state, COUNTERSIGN_ASSERTED_HUMAN: "bench" };
    const opened = await openGate({
      policyFile,
      gate: "in_process",
      coverage: () => ({ sdks: [] }),
      env,
    });
    const decide = async (call) => {
      const verdict = await opened.decide(call);
      if (verdict.recorded) record.add(1);
      return verdict;
    };
    const gate = {
      policy: opened.policy,
      decide,
      decideList: (call, offered) => opened.decideList(call, offered),
      finish: (call, verdict, outcome) => opened.finish(call, verdict, outcome),
      notRun: (call, verdict) => opened.notRun(call, verdict),
      count: (what, by) => opened.count(what, by),
      stop: (reason, deadline) => opened.stop(reason, deadline),
    };
    return {
      server: (server) => {
        instrumentServer(server, { gate });
        return server;
      },
      close: async () => {
        await opened.stop("shutdown", AbortSignal.timeout(5_000));
        await sdk.shutdown();
      },
    };
  },
};
