// Syslog as rsyslog and syslog-ng understand it: nothing forged, nothing cut, nobody let in who should not be, nothing lost by an outage.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { errorCode, type SealedEvent, silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  type Consumer,
  createMetrics,
  type Decisions,
} from "@countersign/pipeline";
import { describe, expect, onTestFinished, test } from "vitest";
import { syslogExporter } from "../../packages/processor/src/exporters/syslog.ts";
import type { SyslogConfig } from "../../packages/processor/src/exporters/syslog/settings.ts";
import {
  FORMAT_NAMES,
  type FormatName,
  FORMATS,
} from "../../packages/processor/src/formats/formats.ts";
import { certificate, type Pair } from "../../packages/processor/src/testing/certificates.ts";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { SYSLOG_DEFAULTS } from "../../packages/processor/src/testing/syslog-receiver.ts";
import { findService } from "./find.ts";
import { hostileEvents } from "./hostile-events.ts";
import { SIGNAL, until } from "./kafka-parts.ts";
import {
  parameterOf,
  type ParsedMessage,
  type ReceiverOptions,
  rsyslog,
  syslogNg,
  type SyslogReceiver,
} from "./syslog-receivers.ts";

const IS_LONG = process.env["COUNTERSIGN_LONG"] === "1";

const RECEIVERS = [
  // 2,000 of each of five formats are ten thousand.
  {
    name: "rsyslog",
    make: rsyslog,
    hostile: IS_LONG ? 10_000 : 2000,
    direct: 'queue.type="Direct"',
  },
  {
    name: "syslog-ng",
    make: syslogNg,
    hostile: IS_LONG ? 10_000 : 500,
    direct: "flags(flow-control);",
  },
].map((given) => {
  const found = findService(given.name);
  return { ...given, program: found?.kind === "binary" ? found.path : undefined };
});

const ca = certificate({ subject: "CN=ca", isAuthority: true });
const server = certificate({ subject: "CN=receiver", issuer: ca, usage: "server" });
const client = certificate({ subject: "CN=countersign", issuer: ca, usage: "client" });
const tls = { server, ca: ca.cert, client: "countersign" };
const WIDEST = 65_536;

type Exporter = Component & Consumer<Decisions>;

/** An exporter with the right certificate, unless it says otherwise. */
async function exporterTo(
  receiver: SyslogReceiver,
  more: Partial<SyslogConfig> = {},
): Promise<{ exporter: Exporter; states: ComponentState[] }> {
  const states: ComponentState[] = [];
  const config: SyslogConfig = {
    ...SYSLOG_DEFAULTS,
    endpoint: `localhost:${receiver.port}`,
    transport: "tls",
    tls: { ca: ca.cert, cert: client.cert, key: client.key, min_version: "1.2" },
    timeout: "30s",
    connect_timeout: "10s",
    max_message: "64KiB",
    ...more,
  };
  const exporter = syslogExporter.create(config as never, {
    id: "syslog/soc",
    log: silentLogger,
    metrics: createMetrics(),
    report: (state) => void states.push(state),
    service: {} as never,
  }) as unknown as Exporter;
  await exporter.start(SIGNAL);
  onTestFinished(() => exporter.stop(AbortSignal.timeout(1000)));
  return { exporter, states };
}

async function started(
  one: (typeof RECEIVERS)[number],
  more: Partial<ReceiverOptions> = {},
): Promise<SyslogReceiver> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-syslog-"));
  const options = { program: one.program as string, directory, tls, maxMessageBytes: WIDEST };
  const receiver = await one.make({ ...options, ...more });
  await receiver.start();
  onTestFinished(async () => {
    await receiver.end("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  });
  return receiver;
}

/** As a pipeline behind a log does: again without end. Resolves with how often it had to be. */
async function deliver(exporter: Exporter, events: readonly SealedEvent[]): Promise<number> {
  for (let again = 0; ; again += 1) {
    try {
      await exporter.consume({ events }, SIGNAL);
      return again;
    } catch (error) {
      if (errorCode(error) !== "UNAVAILABLE") throw error;
      await delay(50);
    }
  }
}

/** What is to arrive: by id, the line of the format. */
function expectedLines(
  events: readonly SealedEvent[],
  format: FormatName,
): ReadonlyMap<string, string> {
  return new Map(
    events.flatMap((event): [string, string][] => {
      try {
        const line = FORMATS[format].line(event);
        return line === undefined ? [] : [[event.event.id, Buffer.from(line).toString("utf8")]];
      } catch (error) {
        if (errorCode(error) === "INPUT_INVALID") return [];
        throw error;
      }
    }),
  );
}

const clientOf = (subject: string, issuer: Pair, more: object = {}): Pair =>
  certificate({ subject, issuer, usage: "client", ...more });
const idOf = (message: ParsedMessage): string => parameterOf(message, "id") ?? "";
const idsOf = (events: readonly SealedEvent[]): ReadonlySet<string> =>
  new Set(events.map(({ event }) => event.id));

describe.each(RECEIVERS)("$name", (one) => {
  describe.skipIf(one.program === undefined)("as it understands us", () => {
    test.each(FORMAT_NAMES)(
      "hostile events as %s: as many messages, each our own in every field, the payload to the letter",
      async (format) => {
        const receiver = await started(one);
        const { exporter } = await exporterTo(receiver, { format });
        const events = hostileEvents(one.hostile, 7);
        const lines = expectedLines(events, format);
        expect(lines.size).toBeGreaterThan(one.hostile / 3);
        for (let at = 0; at < events.length; at += 500) {
          const batch = events.slice(at, at + 500);
          const failure = await exporter
            .consume({ events: batch }, SIGNAL)
            .catch((error) => error as Error);
          // What the format refuses becomes a dead letter; the rest has gone.
          expect(["REJECTED", undefined]).toContain(errorCode(failure));
        }
        await until("all are written", () => receiver.messages().length >= lines.size);
        const messages = receiver.messages();
        expect(messages.map(idOf).toSorted()).toEqual([...lines.keys()].toSorted());
        const byId = new Map(events.map((event) => [event.event.id, event]));
        for (const message of messages) {
          const sealed = byId.get(idOf(message)) as SealedEvent;
          expect(message.msg).toBe(lines.get(idOf(message)));
          expect([message.app, parameterOf(message, "hash")]).toEqual(["countersign", sealed.hash]);
          expect(["decision", "outcome"]).toContain(message.msgid);
          expect(message.pri).toMatch(/^1(?:07|08|09|10)$/);
        }
      },
    );

    test("a message of 8,096 bytes, the default limit, is taken whole by a receiver with its own defaults", async () => {
      const receiver = await started(one, { maxMessageBytes: undefined as never });
      const { exporter } = await exporterTo(receiver, { max_message: "8096B" });
      const [event] = sealedEvents(1) as [SealedEvent];
      // The header's length depends on nothing but the event: find it by what is refused.
      let bytes = 8096;
      const sized = (): SealedEvent => ({ ...event, bytes: Buffer.alloc(bytes, "x") });
      for (;;) {
        const failure = await exporter
          .consume({ events: [sized()] }, SIGNAL)
          .catch((error) => error as Error);
        if (failure === undefined) break;
        expect(failure).toMatchObject({ code: "REJECTED", reasons: ["too_large"] });
        bytes -= 1;
      }
      await until("it is written", () => receiver.messages().length > 0);
      expect(receiver.messages().map(({ msg }) => msg.length)).toEqual([bytes]);
    });

    test("who has no right certificate is told so, or hung up on, and has delivered nothing", async () => {
      const receiver = await started(one);
      const other = certificate({ subject: "CN=other", isAuthority: true });
      const past = { notBeforeMs: Date.now() - 7_200_000, notAfterMs: Date.now() - 3_600_000 };
      const own = (pair?: Pair, more: object = {}): SyslogConfig["tls"] => ({
        ca: ca.cert,
        ...(pair === undefined ? {} : { cert: pair.cert, key: pair.key }),
        min_version: "1.2",
        ...more,
      });
      const refused: readonly (readonly [string, SyslogConfig["tls"]])[] = [
        ["none", own()],
        ["expired", own(clientOf("CN=countersign", ca, past))],
        ["wrong authority", own(clientOf("CN=countersign", other))],
        ["wrong name", own(clientOf("CN=stranger", ca))],
        ["not the receiver's name", own(client, { server_name: "siem.example" })],
        ["not the receiver's authority", own(client, { ca: other.cert })],
      ];
      const tallies: string[] = [];
      for (const confirm of ["close", "drain"] as const) {
        for (const [who, settings] of refused) {
          const { exporter, states } = await exporterTo(receiver, {
            tls: settings,
            confirm,
            settle: "1s",
          });
          const failure = await exporter
            .consume({ events: sealedEvents(300) }, SIGNAL)
            .catch((error) => error as Error);
          expect([who, confirm, errorCode(failure)]).toEqual([who, confirm, "UNAVAILABLE"]);
          tallies.push(`${who}: ${states.at(-1)?.state}`);
        }
      }
      const { exporter } = await exporterTo(receiver);
      const good = sealedEvents(3);
      await exporter.consume({ events: good }, SIGNAL);
      await until("the good ones are written", () => receiver.messages().length >= 3);
      expect(new Set(receiver.messages().map(idOf))).toEqual(idsOf(good));
      // What we check ourselves, and what is told by an alert, needs somebody; a receiver that says nothing may come round.
      expect(
        tallies
          .filter((tally) => tally.startsWith("not the"))
          .every((tally) => tally.endsWith("failed")),
      ).toBe(true);
    });
  });

  describe.skipIf(one.program === undefined)("in an outage", () => {
    test.each(["SIGKILL", "SIGTERM"] as const)(
      "%s and restarts under load: all that was taken over is there",
      async (signal) => {
        const receiver = await started(one, { path: one.direct });
        const { exporter } = await exporterTo(receiver);
        const sent = new Set<string>();
        const load = { ends: false };
        const workers = Array.from({ length: 3 }, async (_, worker) => {
          for (let epoch = 0; !load.ends; epoch += 1) {
            const events = sealedEvents(60, {
              epoch: `${worker}${String(epoch).padStart(31, "0")}`,
            });
            await deliver(exporter, events);
            for (const { event } of events) sent.add(event.id);
          }
        });
        for (let life = 0; life < (IS_LONG ? 20 : 3); life += 1) {
          const before = sent.size;
          await until("some are taken", () => sent.size > before);
          await receiver.end(signal);
          await delay(100);
          await receiver.start();
        }
        load.ends = true;
        await Promise.all(workers);
        const lost = (): readonly string[] => {
          const stored = new Set(receiver.messages().map(idOf));
          return [...sent].filter((id) => !stored.has(id));
        };
        await until("all are written", () => lost().length === 0).catch(() => undefined);
        expect(lost()).toEqual([]);
      },
    );

    test("one that hangs and is killed: confirm: close has not taken over what it had not read, confirm: drain has, and it is lost", async () => {
      for (const confirm of ["close", "drain"] as const) {
        const receiver = await started(one);
        const { exporter } = await exporterTo(receiver, {
          confirm,
          // What hangs is given up soon; what only is slow, on a busy machine, is not taken for it.
          timeout: confirm === "close" ? "2s" : "20s",
          connect_timeout: "5s",
        });
        const first = sealedEvents(2);
        await exporter.consume({ events: first }, SIGNAL);
        receiver.signal("SIGSTOP");
        const events = sealedEvents(20, { epoch: "6".repeat(32) });
        const taken = await exporter.consume({ events }, SIGNAL).then(
          () => true,
          () => false,
        );
        await receiver.end("SIGKILL");
        await receiver.start();
        await until("the first are written", () => receiver.messages().length >= 2).catch(
          () => undefined,
        );
        const stored = new Set(receiver.messages().map(idOf));
        expect([confirm, taken, events.filter(({ event }) => stored.has(event.id)).length]).toEqual(
          [confirm, confirm === "drain", 0],
        );
        if (!taken) await deliver(exporter, events);
        await until("they are written", () => taken || receiver.messages().length >= 20);
      }
    });
  });
});
