import { request } from "node:http";
import { createConnection } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  createMetrics,
  type ExtensionSpec,
  type Runtime,
  type ServiceHealth,
} from "@countersign/pipeline";
import { expect, test } from "vitest";
import { healthCheckExtension } from "./health-check.ts";
import { metricsExtension } from "./metrics.ts";

interface Served {
  readonly port: number;
  ask(path: string, options?: { method?: string; host?: string }): Promise<[number, string]>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function serve(
  spec: ExtensionSpec,
  health: () => ServiceHealth,
  endpoint = "127.0.0.1:0",
): Promise<Served> {
  const runtime: Runtime = {
    id: spec.type,
    log: silentLogger,
    metrics: createMetrics(),
    report: () => undefined,
    service: { health } as never,
  };
  const component = spec.create({ endpoint } as never, runtime) as Component & { url: string };
  await component.start(new AbortController().signal);
  const port = Number(new URL(component.url).port);
  return {
    port,
    ask: (path, { method = "GET", host = "localhost" } = {}) =>
      new Promise((resolve, reject) => {
        const options = {
          port,
          path,
          method,
          host: "127.0.0.1",
          headers: { host },
          agent: false as const,
        };
        request(options, (response) => {
          let text = "";
          response.on("data", (chunk: Buffer) => (text += chunk.toString()));
          response.on("end", () => resolve([response.statusCode ?? 0, text]));
        })
          .on("error", reject)
          .end();
      }),
    [Symbol.asyncDispose]: () => component.stop(AbortSignal.timeout(1000)),
  };
}

const health = (
  phase: ServiceHealth["phase"],
  ...states: ComponentState[]
): (() => ServiceHealth) => {
  const components = new Map(states.map((state, at) => [`exporter e${at}`, state]));
  return () => ({ phase, components, beside: new Set(["exporter e1"]) });
};

test.each<[string, () => ServiceHealth, number, string]>([
  ["starting", health("starting"), 503, "starting"],
  ["running", health("running", { state: "ok" }), 200, "ready"],
  ["degraded", health("running", { state: "degraded", detail: "again" }), 200, "ready"],
  ["failed", health("running", { state: "failed" }), 503, "failed"],
  ["failed beside", health("running", { state: "ok" }, { state: "failed" }), 200, "ready"],
  ["stopping", health("stopping"), 503, "stopping"],
])("%s: ready says so, and live is another question", async (what, state, status, word) => {
  await using at = await serve(healthCheckExtension, state);
  for (const path of ["/", "/ready", "/ready?verbose"]) {
    const [code, text] = await at.ask(path);
    const { status: said, problems } = JSON.parse(text) as {
      status: string;
      problems: { refusesSenders: boolean }[];
    };
    expect([code, said]).toEqual([status, word]);
    const listed = /failed|degraded/.test(what) ? [word === "failed"] : [];
    expect(problems.map(({ refusesSenders }) => refusesSenders)).toEqual(listed);
  }
  expect(await at.ask("/live")).toEqual([200, '{"status":"alive"}\n']);
});

test.each([healthCheckExtension, metricsExtension])(
  "$type: reading only, by a loopback name",
  async (spec) => {
    await using at = await serve(spec, health("running"));
    const path = spec === metricsExtension ? "/metrics" : "/live";
    const statusOf = async (...ask: Parameters<Served["ask"]>): Promise<number> =>
      (await at.ask(...ask))[0];
    expect(await statusOf(path)).toBe(200);
    expect(await at.ask(path, { method: "HEAD" })).toEqual([200, ""]);
    expect(await statusOf(path, { method: "POST" })).toBe(405);
    expect(await statusOf(path, { host: "evil.example" })).toBe(403);
    expect(await statusOf("/etc/passwd")).toBe(404);
  },
);

test("on another address whoever reaches it may read", async () => {
  await using at = await serve(metricsExtension, health("running"), "0.0.0.0:0");
  const [code, text] = await at.ask("/metrics", { host: "processor.example:8888" });
  expect(code).toBe(200);
  expect(text).toContain("countersign_process_memory_rss ");
});

test("the longest delay of the event loop is told once", async () => {
  await using at = await serve(metricsExtension, health("running"));
  const longestS = async (): Promise<number> => {
    const [, text] = await at.ask("/metrics");
    expect(text).toMatch(/^countersign_nodejs_eventloop_delay_p99_seconds \d/m);
    return Number(/^countersign_nodejs_eventloop_delay_max_seconds (\S+)$/m.exec(text)?.[1]);
  };
  await longestS();
  // The monitor counts from its first beat after a reading.
  await delay(50);
  const until = performance.now() + 400;
  while (performance.now() < until);
  await delay(50);
  const blocked = await longestS();
  expect(blocked).toBeGreaterThanOrEqual(0.3);
  expect(blocked).not.toBe(await longestS());
});

test("a reader that says nothing is cut off, and others are answered meanwhile", async () => {
  await using at = await serve(healthCheckExtension, health("running"));
  const idle = createConnection(at.port, "127.0.0.1");
  const closed = new Promise((resolve) => idle.once("close", resolve));
  idle.on("error", () => undefined);
  idle.write("GET / HTTP/1.1\r\n");
  expect((await at.ask("/live"))[0]).toBe(200);
  idle.resume();
  await closed;
});
