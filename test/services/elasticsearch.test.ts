// The exporter against a real Elasticsearch: TLS, a user with the rights of the guide and no others, and the guide itself.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { everyKind } from "../../packages/processor/src/testing/every-kind.ts";
import { SIGNAL } from "../../packages/processor/src/testing/exporters.ts";
import { detectionsHold } from "./detection-searches.ts";
import {
  followed,
  guideBlocks,
  type GuidePlace,
  guidePrivileges,
  processorOfGuide,
} from "./elastic-guide.ts";
import { batchesOfLog, counted, type Delivery, deliveryTo } from "./elastic-parts.ts";
import {
  ADMIN,
  type ElasticsearchNode,
  SHIPPER,
  startElasticsearch,
} from "./elasticsearch-node.ts";
import { findService } from "./find.ts";
import { until } from "./kafka-parts.ts";

const found = findService("elasticsearch");
const program = found?.kind === "binary" ? found.path : undefined;

let node: ElasticsearchNode;
let place: GuidePlace;

beforeAll(async () => {
  if (program === undefined) return;
  node = await startElasticsearch(program, guidePrivileges());
  const { engine } = node;
  const admin = `${ADMIN.username}:${ADMIN.password}`;
  // The distribution of the registry has neither.
  place = { engine, admin, lacks: ["_ilm/", "countersign-lifecycle", "_data_stream/"] };
  await followed(guideBlocks("elasticsearch")[0] ?? "", place);
}, 400_000);
afterAll(async () => {
  await node?.engine.dispose();
});

/** A data stream, which only a first document makes here. */
async function newStream(name: string): Promise<string> {
  const stream = `logs-countersign.decisions-${name}`;
  const { engine } = node;
  const first = `{"create":{"_id":"first"}}\n{"@timestamp":"2026-11-22T09:00:00.000Z"}\n`;
  const { body } = await engine.ask("POST", `/${stream}/_bulk?refresh=true`, first);
  const [item] = (body as { items: { create: { _index: string } }[] }).items;
  const index = item?.create["_index"] ?? "";
  expect(index).toMatch(/^\.ds-/);
  await engine.ask("DELETE", `/${index}/_doc/first?refresh=true`);
  return stream;
}

async function delivering(stream: string, password = SHIPPER.password): Promise<Delivery> {
  const { url, ca = "" } = node.engine;
  const basic = { username: SHIPPER.username, password };
  const delivery = await deliveryTo(url, stream, { basic, tls: { ca, min_version: "1.2" } });
  onTestFinished(() => delivery.stop());
  return delivery;
}

describe.skipIf(program === undefined)("Elasticsearch", () => {
  test("Elastic in ten minutes, as it stands in the guide", async () => {
    await newStream("acme");
    const { username, password } = SHIPPER;
    const inHere = `basic: { username: ${username}, password: ${password} }\n    tls: { ca: "\${file:${node.engine.caFile}}" }`;
    await processorOfGuide(place, inHere);
    const [human, denied, resource, observed, ...more] = await followed(
      guideBlocks("searches")[0] ?? "",
      place,
    );
    expect(more).toEqual([]);
    expect(human).toContain("allow tools/call/read_ticket: permitted");
    expect(denied).toContain('"value":0');
    expect(resource).toContain('"id":"auth0|5f7c8ec7c33c6c004bbafe82"');
    expect(observed).toContain('"value":0');
  }, 200_000);

  test("the detections find what they must, and nothing else", async () => {
    const held = await detectionsHold(node.engine, await newStream("detections"));
    expect(held).toEqual({ searches: 12, rules: 12 });
  });

  test("every kind, with the rights of the guide; a replay behind a rollover adds nothing", async () => {
    const stream = await newStream("kinds");
    const { exporter } = await delivering(stream);
    const events = everyKind();
    await exporter.consume({ events }, SIGNAL);
    expect(await node.engine.ask("POST", `/${stream}/_rollover`)).toMatchObject({ status: 200 });
    expect(await exporter.missing(events, SIGNAL)).toEqual([]);
    const another = await delivering(stream);
    await another.exporter.consume({ events }, SIGNAL);
    expect(another.duplicates).toBe(events.length);
    expect(await counted(node.engine, another, stream)).toEqual({
      documents: events.length,
      distinct: events.length,
    });
  });

  test("a wrong password halts it, and it goes on by itself when the password is right", async () => {
    const stream = await newStream("mended");
    const { exporter, lasting, states } = await delivering(stream, "another-password");
    const batches = batchesOfLog(2, 20);
    await expect(exporter.consume(batches[0] as never, SIGNAL)).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
    expect(states.at(-1)).toMatchObject({ state: "failed" });
    expect(states.at(-1)?.detail).toContain("refuses our credentials (401)");
    const arrives = Promise.all(batches.map((batch) => lasting.consume(batch, SIGNAL)));
    node.setPassword("another-password");
    await arrives;
    expect(states.at(-1)).toEqual({ state: "ok" });
    node.setPassword(SHIPPER.password);
    const reader = await delivering(stream);
    await until("it may read", () =>
      counted(node.engine, reader, stream).then(
        ({ documents, distinct }) => documents === 40 && distinct === 40,
        () => false,
      ),
    );
  });

  test("a stream that it has no rights on is said to be one", async () => {
    const { exporter, states } = await delivering("logs-other-acme");
    await expect(exporter.consume(batchesOfLog(1, 1)[0] as never, SIGNAL)).rejects.toThrow(
      "grant view_index_metadata",
    );
    expect(states.at(-1)).toMatchObject({ state: "failed" });
  });

  test("a certificate of an unknown authority is not talked to", async () => {
    const { exporter } = await deliveryTo(node.engine.url, "logs-countersign.decisions-acme");
    onTestFinished(() => exporter.stop(AbortSignal.timeout(1000)));
    await expect(exporter.consume(batchesOfLog(1, 1)[0] as never, SIGNAL)).rejects.toThrow(
      "no TLS with the endpoint",
    );
  });
});
