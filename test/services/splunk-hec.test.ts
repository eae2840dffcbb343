// splunk_hec against a HEC receiver that others wrote: the Collector's, with TLS, a token and acknowledgements. Splunk itself has met it
// nowhere.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SealedEvent } from "@countersign/model";
import type { Receipt } from "@countersign/pipeline";
import { describe, expect, onTestFinished, test } from "vitest";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { logRecord, requestOf } from "../../packages/processor/src/testing/logs.ts";
import { embeddedHome, type Home, type Running, startProcessor } from "../e2e/processor-process.ts";
import { freePort } from "../free-port.ts";
import { findService } from "./find.ts";
import { until } from "./kafka-parts.ts";
import { type HecCollector, hecCollector } from "./otelcol-hec.ts";

const found = findService("otelcol");
const program = found?.kind === "binary" ? found.path : undefined;
const TOKEN = "00000000-0000-0000-0000-0000000000aa";

async function collector(): Promise<HecCollector> {
  const one = await hecCollector(program as string, TOKEN);
  onTestFinished(() => one.dispose());
  return one;
}

/** The embedded service with Splunk in the place of its SIEM file; `settings` are those of `splunk_hec`. */
function splunkHome(port: number, to: HecCollector, settings: string): Home {
  const home = embeddedHome(port, (yaml) =>
    yaml
      .replace(
        /  file\/siem: .*\n/,
        `  splunk_hec/soc: { endpoint: "${to.url}", token: "\${env:SPLUNK_HEC_TOKEN}", index: mcp_audit, retry: { initial: 100ms, max: 500ms }, ${settings} }\n`,
      )
      .replace("types: [decision, finding, withheld]", "types: [decision]")
      .replace("exporters: [file/siem]", "exporters: [splunk_hec/soc]"),
  );
  const yaml = readFileSync(home.config, "utf8").replaceAll(
    "CA_FILE",
    join(home.directory, "ca.crt"),
  );
  writeFileSync(home.config, yaml);
  writeFileSync(join(home.directory, "ca.crt"), to.ca);
  return home;
}

async function post(port: number, events: readonly SealedEvent[]): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/logs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(requestOf(events.map(logRecord))),
  });
  expect(response.status).toBe(200);
}

async function figure(running: Running, name: string): Promise<string | undefined> {
  const text = await (await fetch(`${running.endpoints["metrics"]}/metrics`)).text();
  return new RegExp(`^countersign_${name}\\{[^}]*splunk_hec/soc[^}]*\\} (\\S+)`, "m").exec(
    text,
  )?.[1];
}

const distinct = (to: HecCollector): Set<string> => new Set(to.arrived().map(({ uid }) => uid));

describe.skipIf(program === undefined)("splunk_hec and the Collector's HEC receiver", () => {
  test.each([
    ["native, acknowledged, gzip", "acknowledge: true, tls: { ca: CA_FILE }"],
    ["cef, at the 200, plain", "format: cef, compression: none, tls: { ca: CA_FILE }"],
  ])("%s: every event arrives as it was", async (name, settings) => {
    const to = await collector();
    await to.start();
    const port = await freePort();
    using home = splunkHome(port, to, settings);
    const running = await startProcessor(home.config, { SPLUNK_HEC_TOKEN: TOKEN });
    const events = sealedEvents(1200);
    for (let at = 0; at < events.length; at += 200) await post(port, events.slice(at, at + 200));
    await until("all arrived", () => distinct(to).size === events.length);
    expect(await running.end("SIGTERM")).toBe(0);
    const arrived = new Map(to.arrived().map((one) => [one.uid, one]));
    for (const { event, hash } of events) {
      expect(arrived.get(event.id)).toMatchObject({
        hash,
        timeMs: Date.parse(event.time),
        host: "tickets-test",
        sourcetype: name.startsWith("cef") ? "countersign:cef" : "countersign:native",
        index: "mcp_audit",
      });
    }
    const text = arrived.get(events[0]?.event.id ?? "")?.text;
    expect(text?.startsWith("CEF:")).toBe(name.startsWith("cef") ? true : undefined);
    expect(to.arrived()).toHaveLength(events.length);
  });

  test("a token that is wrong for a while, a restart of each side, an outage: nothing is missing", async () => {
    const to = await collector();
    await to.start();
    const port = await freePort();
    using home = splunkHome(
      port,
      to,
      "acknowledge: true, acknowledge_timeout: 3s, tls: { ca: CA_FILE }",
    );
    const env = { SPLUNK_HEC_TOKEN: TOKEN };
    const events = sealedEvents(900);
    let running = await startProcessor(home.config, env);
    await post(port, events.slice(0, 200));
    await until("the first arrived", () => distinct(to).size === 200);

    to.accept("another");
    // The Collector looks at the file now and then: events go until it refuses.
    let sent = 200;
    await until("it is halted", async () => {
      if (sent < 500) await post(port, events.slice(sent, (sent += 20)));
      return (await figure(running, "exporter_halted")) === "1";
    });
    const ready = await fetch(`${running.endpoints["health_check"]}/ready`);
    const { problems } = (await ready.json()) as { problems: object[] };
    // Behind the log: who sends is not refused for it.
    const halted = { component: "exporter splunk_hec/soc", state: "failed", refusesSenders: false };
    expect([ready.status, problems]).toEqual([200, [expect.objectContaining(halted)]]);
    await running.end("SIGKILL");
    running = await startProcessor(home.config, env);
    await post(port, events.slice(sent, 700));
    to.accept(TOKEN);
    await until("it goes on by itself", () => distinct(to).size === 700);
    await until("it says so", async () => (await figure(running, "exporter_halted")) === "0");

    await to.stop();
    await post(port, events.slice(700));
    await until(
      "it is tried",
      async () => Number(await figure(running, "exporter_send_failed_log_records_total")) > 0,
    );
    await to.start();
    await until("the last arrived", () => distinct(to).size === events.length);
    expect(await running.end("SIGTERM")).toBe(0);
    expect(distinct(to)).toEqual(new Set(events.map(({ event }) => event.id)));
    expect(home.lines("dead-letter")).toEqual([]);
    expectNoGap(home.lines("receipts").map((line) => JSON.parse(line) as Receipt));
  });
});

/** Ranges of one log meet or overlap, and what they say was delivered is everything. */
function expectNoGap(receipts: readonly Receipt[]): void {
  let next = 0;
  for (const receipt of receipts.filter(({ sink }) => sink === "splunk_hec/soc")) {
    expect(Number(receipt.firstOffset)).toBeLessThanOrEqual(next);
    expect(receipt).toMatchObject({ deadLettered: 0, mapping: "native@1" });
    expect(receipt.delivered + receipt.filtered).toBe(receipt.events);
    next = Number(receipt.lastOffset) + 1;
  }
  expect(next).toBeGreaterThanOrEqual(900);
}
