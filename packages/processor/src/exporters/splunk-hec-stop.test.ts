// A stop while several requests of one batch wait, each for something else.
import type { CountersignError } from "@countersign/model";
import type { Consumer, Decisions } from "@countersign/pipeline";
import { expect, onTestFinished, test } from "vitest";
import { newEvents, runtimeOf, SIGNAL, SPLUNK } from "../testing/exporters.ts";
import { fakeHec } from "../testing/fake-hec.ts";
import { createSinkHealth } from "./http-failure.ts";
import { createAcknowledgements } from "./splunk/acknowledgements.ts";
import { splunkHecExporter } from "./splunk-hec.ts";

test("a stop while one request is indexed and the next is on its way ends the batch, and not the process", async () => {
  const hec = await fakeHec("never");
  const unheard: unknown[] = [];
  const note = (error: unknown): void => void unheard.push(error);
  process.on("unhandledRejection", note);
  const config = { ...SPLUNK, endpoint: hec.url, token: hec.token, acknowledge: true };
  const exporter = splunkHecExporter.create(
    { ...config, max_events: 1 } as never,
    runtimeOf("splunk_hec/soc"),
  );
  onTestFinished(async () => {
    process.off("unhandledRejection", note);
    await exporter.stop(AbortSignal.abort());
    await hec.close();
  });
  await exporter.start(SIGNAL);
  // The second answer never ends.
  hec.script.push({ status: 200, body: { text: "Success", code: 0 }, takes: true });
  hec.script.push({ status: 200, body: "{", headers: { "content-length": "9" } });
  const sending = (exporter as never as Consumer<Decisions>).consume(newEvents(2), SIGNAL);
  await expect.poll(() => hec.script.length).toBe(0);
  const failure = sending.catch((error: CountersignError) => error.code);
  await exporter.stop(AbortSignal.abort());
  expect(await failure).toBe("CANCELLED");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(unheard).toEqual([]);
});

test("a request that is taken after the end of the stop is waited for by nobody", async () => {
  const acks = createAcknowledgements({
    sink: { send: () => Promise.reject(new Error("never asked")), close: () => undefined },
    health: createSinkHealth(runtimeOf("splunk_hec/soc")),
    headers: () => ({}),
    runtime: runtimeOf("splunk_hec/soc"),
    timeoutMs: 300_000,
  });
  acks.close();
  const ticket = { channel: acks.channel(), ackId: 0, highestBefore: -1 };
  await expect(acks.indexed(ticket, SIGNAL)).rejects.toMatchObject({ code: "CANCELLED" });
});
