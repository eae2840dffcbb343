// Every exporter against the one contract, each with its real destination.
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { openArchive } from "@countersign/archive";
import { type LogFields, silentLogger } from "@countersign/model";
import type { Component, Consumer, Decisions, ExporterSpec, Traces } from "@countersign/pipeline";
import {
  type DestinationMood,
  exporterContract,
  type ExporterFixture,
} from "@countersign/pipeline/testing";
import { describe, expect, test } from "vitest";
import { COMPONENTS } from "../components.ts";
import { fakeElasticsearch, type ItemAnswer, STREAM } from "../testing/fake-elasticsearch.ts";
import { FORMAT_NAMES } from "../formats/formats.ts";
import {
  backend,
  idsOf,
  newEvents,
  newSpans,
  runtimeOf,
  scratch,
  sender,
  SIGNAL,
  SPLUNK,
  WEBHOOK,
} from "../testing/exporters.ts";
import { SYSLOG_DEFAULTS, strictReceiver } from "../testing/syslog-receiver.ts";
import { fakeHec } from "../testing/fake-hec.ts";
import type { AckMode } from "../testing/fake-hec-acks.ts";
import { archiveExporter, archiveOf } from "./archive.ts";
import { debugExporter } from "./debug.ts";
import { documentId } from "./elasticsearch/documents.ts";
import { elasticsearchExporter } from "./elasticsearch.ts";
import { fileExporter } from "./file.ts";
import { memoryExporter, tracesOf } from "./memory.ts";
import { otlpHttpExporter } from "./otlp-http.ts";
import { syslogExporter } from "./syslog.ts";
import { splunkHecExporter } from "./splunk-hec.ts";
import { webhookExporter } from "./webhook.ts";

// Kafka is held to the contract with a real broker: test/services/kafka.test.ts.
const COVERED = new Set<string>(["kafka"]);

function contract<Batch>(
  spec: ExporterSpec,
  name: string,
  make: () => ExporterFixture<Batch> | Promise<ExporterFixture<Batch>>,
): void {
  COVERED.add(spec.type);
  describe(`the contract: ${name}`, () => {
    test.each([...exporterContract(make)])("$name", async (check) => {
      expect(await check.run()).toBeUndefined();
    });
  });
}

contract<Decisions>(archiveExporter, "archive", () => {
  const directory = join(scratch(), "archive");
  let opened: (Component & Consumer<Decisions>) | undefined;
  const stored = new Set<string>();
  const look = async (): Promise<void> => {
    const other = opened === undefined ? undefined : archiveOf(opened);
    let log;
    try {
      log = other?.log;
    } catch {
      // It was stopped: open what it left behind.
    }
    const reading = log ?? (await openArchive({ directory, origin: "test.example/a" }));
    for (const { event } of await reading.read(0n, 1024)) stored.add(event.hash);
    if (log === undefined) await reading.close();
  };
  return {
    create: () => {
      opened = archiveExporter.create(
        { directory, origin: "test.example/a" } as never,
        runtimeOf("archive"),
      ) as never;
      return opened as Component & Consumer<Decisions>;
    },
    batch: newEvents,
    delivered: async (batch) => {
      await look();
      return batch.events.filter(({ hash }) => stored.has(hash)).length;
    },
    mood: () => undefined,
    moods: ["well"],
    close: () => opened?.stop(SIGNAL),
  };
});

for (const format of FORMAT_NAMES) {
  contract<Decisions>(fileExporter, `file, ${format}`, () => {
    const directory = join(scratch(), "out");
    const config = { directory, format, mode: "0640", max_file_size: "4KiB" };
    const lines = (): string[] =>
      readdirSync(directory).flatMap((file) =>
        readFileSync(join(directory, file), "utf8").split("\n").slice(0, -1),
      );
    let current: DestinationMood = "well";
    return {
      create: () =>
        fileExporter.create(config as never, runtimeOf("file/test")) as unknown as Component &
          Consumer<Decisions>,
      // For `partial` and `permanent`: what the format cannot express validly.
      batch: (size) => {
        const batch = newEvents(size);
        if (format === "native" || current === "well") return batch;
        return {
          events: batch.events.map((event, index) =>
            current === "partial" && index % 2 === 0 ? event : spoil(event),
          ),
        };
      },
      delivered: (batch) => {
        const written = lines();
        return batch.events.filter(({ event }) => written.some((line) => line.includes(event.id)))
          .length;
      },
      mood: (mood) => void (current = mood),
      moods: format === "native" ? ["well"] : ["well", "permanent", "partial"],
      close: () => undefined,
    };
  });
}

/** An event whose time is none: valid JSON, and valid in no schema. */
function spoil(sealed: Decisions["events"][number]): Decisions["events"][number] {
  return { ...sealed, bytes: sealed.bytes, event: { ...sealed.event, time: "never" } };
}

for (const confirm of ["close", "drain"] as const) {
  contract<Decisions>(syslogExporter, `syslog, confirm: ${confirm}`, async () => {
    const receiver = await strictReceiver();
    let current: DestinationMood = "well";
    const config = {
      ...SYSLOG_DEFAULTS,
      endpoint: `127.0.0.1:${receiver.port}`,
      confirm,
    };
    return {
      create: () =>
        syslogExporter.create(config as never, runtimeOf("syslog")) as unknown as Component &
          Consumer<Decisions>,
      // For `partial` and `permanent`: what is too long for a message.
      batch: (size) => {
        const { events } = newEvents(size);
        const long = Buffer.alloc(9000, "x");
        return {
          events: events.map((event, index) =>
            current === "permanent" || (current === "partial" && index % 2 === 1)
              ? { ...event, bytes: long }
              : event,
          ),
        };
      },
      delivered: (batch) => {
        if (receiver.violations.length > 0) throw new Error(receiver.violations.join("; "));
        const ids = new Set(receiver.messages.map(({ parameters }) => parameters["id"]));
        return batch.events.filter(({ event }) => ids.has(event.id)).length;
      },
      mood: (mood) => {
        current = mood;
        receiver.mood = mood === "transient" ? "resets" : "reads";
      },
      moods: ["well", "transient", "permanent", "partial"],
      close: () => receiver.close(),
    };
  });
}

contract<Traces>(memoryExporter, "memory", () => {
  const config = { traces: 100, spans_per_trace: 100, max_size: "1MiB" };
  const exporter = memoryExporter.create(
    config as never,
    runtimeOf("memory"),
  ) as unknown as Component & Consumer<Traces>;
  return {
    create: () => exporter,
    batch: newSpans,
    delivered: async (batch) => {
      const trace = await tracesOf(exporter)?.trace(idsOf(batch)[0]?.split("/")[0] ?? "");
      return trace?.length ?? 0;
    },
    mood: () => undefined,
    moods: ["well"],
    close: () => undefined,
  };
});

contract<Decisions>(debugExporter, "debug", () => {
  let logged = 0;
  const log = {
    ...silentLogger,
    info: (_message: string, fields?: LogFields) => void (logged = Number(fields?.["count"])),
  };
  return {
    create: () =>
      debugExporter.create({} as never, { ...runtimeOf("debug"), log }) as unknown as Component &
        Consumer<Decisions>,
    batch: newEvents,
    // It keeps nothing: what it logged last is all there is to see.
    delivered: (batch) => (logged > 0 ? batch.events.length : 0),
    mood: () => undefined,
    moods: ["well"],
    close: () => undefined,
  };
});

contract<Traces>(otlpHttpExporter, "otlp_http", async () => {
  const server = await backend();
  return {
    create: () => sender(server.url),
    batch: newSpans,
    delivered: (batch) => idsOf(batch).filter((id) => server.got.has(id)).length,
    mood: () => undefined,
    moods: ["well"],
    queued: true,
    close: () => server.close(),
  };
});

contract<Decisions>(elasticsearchExporter, "elasticsearch", async () => {
  const fake = await fakeElasticsearch();
  const config = {
    endpoint: fake.url,
    data_stream: STREAM,
    format: "native",
    insecure: false,
    timeout: "5s",
    compression: "gzip",
    retry: { initial: "1ms", max: "5ms" },
    max_events: 3,
    max_body: "5MiB",
    deduplicate: "restart",
  };
  const answers: Record<DestinationMood, (nth: number) => ItemAnswer | undefined> = {
    well: () => undefined,
    transient: () => ({ status: 429, type: "es_rejected_execution_exception" }),
    permanent: () => ({ status: 400, type: "document_parsing_exception" }),
    partial: (nth) => (nth === 1 ? { status: 503 } : undefined),
  };
  return {
    create: () =>
      elasticsearchExporter.create(
        config as never,
        runtimeOf("elasticsearch"),
      ) as unknown as Component & Consumer<Decisions>,
    batch: newEvents,
    delivered: ({ events }) =>
      events.filter((event) => fake.indices.some((index) => index.has(documentId(event)))).length,
    mood: (mood) => void (fake.item = (_id, nth) => answers[mood](nth)),
    moods: ["well", "transient", "permanent", "partial"],
    close: () => {
      if (fake.violations.length > 0) throw new Error(fake.violations.join());
    },
  };
});
contract<Decisions>(splunkHecExporter, "splunk_hec", () => hecFixture("off"));
contract<Decisions>(splunkHecExporter, "splunk_hec, acknowledged", () =>
  hecFixture({ afterQuestions: 1 }),
);

async function hecFixture(ack: AckMode): Promise<ExporterFixture<Decisions>> {
  const hec = await fakeHec(ack);
  const config = { ...SPLUNK, endpoint: hec.url, token: hec.token, acknowledge: ack !== "off" };
  const { token } = hec;
  return {
    create: () =>
      splunkHecExporter.create(config as never, runtimeOf("splunk_hec")) as Component &
        Consumer<Decisions>,
    batch: newEvents,
    delivered: ({ events }) => {
      const uids = new Set(hec.stored.map(({ uid }) => uid));
      return events.filter(({ event }) => uids.has(event.id)).length;
    },
    mood: (mood) => {
      let nth = 0;
      hec.token = mood === "transient" ? "another" : token;
      hec.refuses = undefined;
      if (mood === "permanent") hec.refuses = () => true;
      if (mood === "partial") hec.refuses = () => nth++ === 0;
    },
    moods: ["well", "transient", "permanent", "partial"],
    close: async () => {
      await hec.close();
      if (hec.violations.length > 0) throw new Error(hec.violations.join(", "));
    },
  };
}

contract<Decisions>(webhookExporter, "webhook", async () => {
  const stored = new Set<string>();
  let mood: DestinationMood = "well";
  let refused: string | undefined;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const ids = (JSON.parse(Buffer.concat(chunks).toString()) as { id: string }[]).map(
        ({ id }) => id,
      );
      refused ??= ids[0];
      const isBad = mood === "permanent" || (mood === "partial" && ids.includes(refused ?? ""));
      const status = mood === "transient" ? 503 : isBad ? 422 : 204;
      if (status === 204) for (const id of ids) stored.add(id);
      response.writeHead(status).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return {
    create: () =>
      webhookExporter.create({ ...WEBHOOK, endpoint } as never, runtimeOf("webhook")) as Component &
        Consumer<Decisions>,
    batch: newEvents,
    delivered: ({ events }) => events.filter(({ event }) => stored.has(event.id)).length,
    mood: (next) => void (mood = next),
    moods: ["well", "transient", "permanent", "partial"],
    close: () =>
      new Promise<void>((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  };
});

test("every exporter of this build is here", () => {
  const types = COMPONENTS.filter(({ kind }) => kind === "exporter").map(({ type }) => type);
  expect([...COVERED].toSorted()).toEqual(types.toSorted());
});
