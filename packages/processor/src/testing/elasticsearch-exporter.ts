// The exporter as the service makes it, before a data stream that forgives nothing.
import { type CountersignError, silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  type Consumer,
  createMetrics,
  type Decisions,
  type Origin,
  type Queryable,
} from "@countersign/pipeline";
import { expect, onTestFinished } from "vitest";
import { elasticsearchExporter } from "../exporters/elasticsearch.ts";
import type { ElasticsearchConfig } from "../exporters/elasticsearch/settings.ts";
import { runtimeOf, SIGNAL } from "./exporters.ts";
import { type FakeElasticsearch, fakeElasticsearch, STREAM } from "./fake-elasticsearch.ts";

export type Exporter = Component & Consumer<Decisions> & Required<Queryable>;

export interface Tried {
  readonly fake: FakeElasticsearch;
  readonly exporter: Exporter;
  readonly states: ComponentState[];
  readonly said: string[];
  readonly figure: (name: string) => number;
}

export const CONFIG: Omit<ElasticsearchConfig, "endpoint"> = {
  insecure: false,
  timeout: "2s",
  compression: "gzip",
  retry: { initial: "1ms", max: "5ms" },
  data_stream: STREAM,
  format: "native",
  max_events: 1000,
  max_body: "5MiB",
  deduplicate: "restart",
};

export async function tried(
  more: Partial<ElasticsearchConfig> = {},
  fake?: FakeElasticsearch,
): Promise<Tried> {
  const to = fake ?? (await fakeElasticsearch());
  const states: ComponentState[] = [];
  const said: string[] = [];
  const metrics = createMetrics();
  const say = (message: string): void => void said.push(message);
  const exporter = elasticsearchExporter.create({ ...CONFIG, endpoint: to.url, ...more } as never, {
    ...runtimeOf("elasticsearch/main", metrics),
    log: { ...silentLogger, error: say, warn: say },
    report: (state) => void states.push(state),
  }) as unknown as Exporter;
  await exporter.start(SIGNAL);
  onTestFinished(async () => {
    await exporter.stop(AbortSignal.timeout(1000));
    expect(to.violations).toEqual([]);
  });
  return {
    fake: to,
    exporter,
    states,
    said,
    figure: (name) => metrics.counter(name, "", { exporter: "elasticsearch/main" }).value,
  };
}

export const origin = (first: number, size: number, partition = 0): Origin => ({
  log: "countersign.events.v1",
  partition,
  first: BigInt(first),
  last: BigInt(first + size - 1),
});

export async function failure(exporter: Exporter, batch: Decisions): Promise<CountersignError> {
  const error = await exporter.consume(batch, SIGNAL).then(
    () => expect.unreachable("taken"),
    (cause: CountersignError) => cause,
  );
  expect(error.message).toMatch(/^elasticsearch\/main: /);
  expect(error.message).not.toMatch(/secret|html/i);
  return error;
}

export const ids = ({ events }: Decisions): string[] => events.map(({ event }) => event.id);
