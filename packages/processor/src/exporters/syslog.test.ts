// The syslog exporter against a strict receiver that also misbehaves: what counts as delivered, and what is never sent.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  type Consumer,
  createMetrics,
  type Decisions,
  type Receipted,
} from "@countersign/pipeline";
import { expect, onTestFinished, test, vi } from "vitest";
import { certificate, type Pair } from "../testing/certificates.ts";
import { newEvents, SIGNAL } from "../testing/exporters.ts";
import {
  type StrictReceiver,
  strictReceiver,
  SYSLOG_DEFAULTS,
} from "../testing/syslog-receiver.ts";
import { syslogExporter } from "./syslog.ts";
import type { SyslogConfig } from "./syslog/settings.ts";

type Exporter = Component & Consumer<Decisions> & Receipted;

interface Tried {
  readonly exporter: Exporter;
  readonly states: ComponentState[];
}

async function receiver(...tls: Parameters<typeof strictReceiver>): Promise<StrictReceiver> {
  const one = await strictReceiver(...tls);
  onTestFinished(() => one.close());
  return one;
}

async function exporterTo(
  port: number,
  more: Partial<SyslogConfig> = {},
  files?: ReadonlyMap<string, string>,
): Promise<Tried> {
  const config = { ...SYSLOG_DEFAULTS, endpoint: `127.0.0.1:${port}`, ...more };
  const states: ComponentState[] = [];
  const exporter = syslogExporter.create(config as never, {
    id: "syslog/soc",
    log: silentLogger,
    metrics: createMetrics(),
    report: (state) => void states.push(state),
    service: {} as never,
    ...(files === undefined ? {} : { files }),
  }) as unknown as Exporter;
  await exporter.start(SIGNAL);
  onTestFinished(() => exporter.stop(AbortSignal.timeout(100)));
  return { exporter, states };
}

const unavailable = (says: string): object => ({
  code: "UNAVAILABLE",
  message: expect.stringMatching(says) as string,
});

test.each(["close", "drain"] as const)(
  "confirm: %s, several batches at once: every event is one message, none is another's",
  async (confirm) => {
    const to = await receiver();
    const { exporter } = await exporterTo(to.port, { confirm });
    const batches = [newEvents(700), newEvents(1), newEvents(40)];
    await Promise.all(batches.map((batch) => exporter.consume(batch, SIGNAL)));
    expect(to.violations).toEqual([]);
    const events = batches.flatMap((batch) => batch.events);
    const payloads = to.messages.map(({ payload }) => payload);
    expect(payloads.toSorted()).toEqual(
      events.map(({ bytes }) => Buffer.from(bytes).toString()).toSorted(),
    );
    for (const { parameters, payload } of to.messages)
      expect(parameters["id"]).toBe((JSON.parse(payload) as { id: string }).id);
    // 700 events are more than 1 MiB; `drain` has one connection whatever comes.
    expect(to.connections).toBe(confirm === "close" ? 4 : 1);
    expect(exporter.mapping).toBe("native@1");
    expect(exporter.acknowledgementOf?.(batches[0] as Decisions)).toEqual({
      kind: confirm === "close" ? "connection_closed" : "drained",
    });
  },
);

test.each([
  ["resets", "close", "ECONNRESET"],
  ["closes", "close", "closed the connection before it had read everything"],
  ["drips", "close", "needs `confirm: drain`"],
  ["stands", "close", "needs `confirm: drain`"],
  ["stays_open", "close", "needs `confirm: drain`"],
  ["resets", "drain", "ECONNRESET"],
  ["closes", "drain", "closed the connection before it had read everything"],
] as const)("a receiver that %s has nothing by confirm: %s", async (mood, confirm, says) => {
  const to = await receiver();
  to.mood = mood;
  const { exporter, states } = await exporterTo(to.port, { confirm });
  const batch = newEvents(5);
  await expect(exporter.consume(batch, SIGNAL)).rejects.toMatchObject({
    ...unavailable(says),
    failed: [0, 1, 2, 3, 4],
  });
  expect(states.at(-1)?.state).toBe("degraded");
  to.mood = "reads";
  await exporter.consume(batch, SIGNAL);
  expect(states.at(-1)).toEqual({ state: "ok" });
  expect(to.messages.slice(-5)).toHaveLength(5);
});

test("confirm: drain gives back what a connection took that did not stand", async () => {
  const to = await receiver();
  const { exporter } = await exporterTo(to.port, { confirm: "drain", settle: "10m" });
  const taken = exporter.consume(newEvents(3), SIGNAL);
  await vi.waitUntil(() => to.messages.length === 3, { timeout: 10_000 });
  to.hangUp();
  await expect(taken).rejects.toMatchObject({ code: "UNAVAILABLE", failed: [0, 1, 2] });
});

test("a receiver that is away, and one that never answers", async () => {
  const to = await receiver();
  const { exporter } = await exporterTo(to.port, { connect_timeout: "200ms" });
  await to.close();
  await expect(exporter.consume(newEvents(1), SIGNAL)).rejects.toMatchObject(
    unavailable("ECONNREFUSED"),
  );
  // A TCP port that never speaks TLS.
  const dumb = await receiver();
  dumb.mood = "stands";
  const secure = await exporterTo(dumb.port, { transport: "tls", connect_timeout: "200ms" });
  await expect(secure.exporter.consume(newEvents(1), SIGNAL)).rejects.toMatchObject(
    unavailable("ETIMEDOUT"),
  );
});

test("a message of the limit goes, one byte more is a dead letter, and never a shorter message", async () => {
  const to = await receiver();
  const wide = await exporterTo(to.port, { max_message: "64KiB" });
  const batch = newEvents(3);
  await wide.exporter.consume(batch, SIGNAL);
  const first = to.messages[0];
  const head = Buffer.byteLength(
    `<${first?.priority}>1 ${first?.time} - countersign ${first?.procId} ${first?.msgId} ` +
      `[countersign@32473${Object.entries(first?.parameters ?? {})
        .map(([name, value]) => ` ${name}="${value}"`)
        .join("")}] `,
  );
  const events = batch.events.map((event, index) => ({
    ...event,
    bytes: Buffer.alloc(8096 - head + (index === 1 ? 1 : 0), "x"),
  }));
  const { exporter } = await exporterTo(to.port);
  await expect(exporter.consume({ events }, SIGNAL)).rejects.toMatchObject({
    code: "REJECTED",
    failed: [1],
    reasons: ["too_large"],
  });
  expect(to.messages.slice(3).map(({ payload }) => payload.length)).toEqual([
    8096 - head,
    8096 - head,
  ]);
});

test("who stops is told, and nothing hangs", async () => {
  const to = await receiver();
  to.mood = "stands";
  const { exporter } = await exporterTo(to.port, { timeout: "10m" });
  const abort = new AbortController();
  const given = exporter.consume(newEvents(2), abort.signal);
  await vi.waitUntil(() => to.connections === 1, { timeout: 10_000 });
  abort.abort();
  await expect(given).rejects.toMatchObject({ code: "CANCELLED" });
  const stopped = exporter.consume(newEvents(2), SIGNAL);
  await exporter.stop(AbortSignal.abort());
  await expect(stopped).rejects.toMatchObject({ code: "CANCELLED" });
  await expect(exporter.consume(newEvents(1), SIGNAL)).rejects.toMatchObject(
    unavailable("not started, or stopped"),
  );
});

const ca = certificate({ subject: "CN=ca", isAuthority: true });
const other = certificate({ subject: "CN=other", isAuthority: true });
const server = certificate({ subject: "CN=receiver", issuer: ca, usage: "server" });
const client = certificate({ subject: "CN=countersign", issuer: ca, usage: "client" });
const PAST = { notBeforeMs: Date.now() - 7_200_000, notAfterMs: Date.now() - 3_600_000 };
const expired = (issuer: Pair, usage: "client" | "server"): Pair =>
  certificate({ subject: "CN=countersign", issuer, usage, ...PAST });

const mutual = (pair: Pair, version: "TLSv1.2" | "TLSv1.3") => ({
  cert: pair.cert,
  key: pair.key,
  ca: ca.cert,
  requestCert: true,
  rejectUnauthorized: true,
  minVersion: version,
  maxVersion: version,
});
const ours = (pair: Pair = client, more: object = {}) => ({
  transport: "tls" as const,
  tls: { ca: ca.cert, cert: pair.cert, key: pair.key, min_version: "1.2" as const, ...more },
});

test.each(["TLSv1.2", "TLSv1.3"] as const)(
  "%s with client certificates: the right one gets in, and nothing goes to whom we do not trust",
  async (version) => {
    const to = await receiver(mutual(server, version));
    const good = await exporterTo(to.port, ours());
    await good.exporter.consume(newEvents(3), SIGNAL);
    expect(to.messages).toHaveLength(3);

    const stranger = certificate({ subject: "CN=countersign", issuer: other, usage: "client" });
    const none = { transport: "tls" as const, tls: { ca: ca.cert, min_version: "1.2" as const } };
    // Of a certificate that it does not like this receiver says nothing and hangs up; those that do say are in test/services.
    const hungUp = "hung up|closed the connection";
    const refused: readonly (readonly [Partial<SyslogConfig>, string])[] = [
      [none, "refuses our certificate, or wants one"],
      [ours(expired(ca, "client")), hungUp],
      [ours(stranger), hungUp],
      [ours(client, { server_name: "siem.example" }), "is for another name"],
      [ours(client, { ca: other.cert }), "is not trusted"],
    ];
    for (const confirm of ["close", "drain"] as const) {
      for (const [settings, says] of refused) {
        const { exporter, states } = await exporterTo(to.port, { ...settings, confirm });
        await expect(exporter.consume(newEvents(2), SIGNAL)).rejects.toMatchObject(
          unavailable(says),
        );
        expect(states.at(-1)?.state).toBe(says === hungUp ? "degraded" : "failed");
      }
    }
    expect(to.messages).toHaveLength(3);
  },
);

test("an expired certificate of the receiver is told as that", async () => {
  const to = await receiver(mutual(expired(ca, "server"), "TLSv1.3"));
  const { exporter } = await exporterTo(to.port, ours());
  await expect(exporter.consume(newEvents(1), SIGNAL)).rejects.toMatchObject(
    unavailable("the receiver's certificate has expired"),
  );
});

test("a certificate that is renewed in its file is used without a restart", async () => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-syslog-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const old = expired(ca, "client");
  const cert = join(directory, "tls.crt");
  const key = join(directory, "tls.key");
  const write = (pair: Pair): void => {
    writeFileSync(cert, pair.cert);
    writeFileSync(key, pair.key);
  };
  write(old);
  const to = await receiver(mutual(server, "TLSv1.3"));
  const files = new Map([
    ["tls.cert", cert],
    ["tls.key", key],
  ]);
  const { exporter, states } = await exporterTo(to.port, ours(old), files);
  const batch = newEvents(2);
  await expect(exporter.consume(batch, SIGNAL)).rejects.toMatchObject(
    unavailable("hung up|closed the connection"),
  );
  // Half renewed: it waits, and does not fall over.
  writeFileSync(cert, client.cert);
  await expect(exporter.consume(batch, SIGNAL)).rejects.toMatchObject(
    unavailable("does not belong to the certificate"),
  );
  write(client);
  await exporter.consume(batch, SIGNAL);
  expect(to.messages).toHaveLength(2);
  expect(states.at(-1)).toEqual({ state: "ok" });
});

test.each([
  [{ transport: "tcp", endpoint: "siem.example:514" }, ["transport", "warning"]],
  [{ transport: "tcp", tls: { ca: ca.cert, min_version: "1.2" } }, ["tls", undefined]],
  [{ max_message: "479B" }, ["max_message", undefined]],
  [{ max_message: "65KiB" }, ["max_message", undefined]],
  [{ tls: { ca: "/nowhere", min_version: "1.2" }, transport: "tls" }, ["tls", undefined]],
  [{}, undefined],
] as const)("settings %o", (more, expected) => {
  const config = { ...SYSLOG_DEFAULTS, endpoint: "127.0.0.1:6514", ...more };
  const faults = syslogExporter.check?.(config as never) ?? [];
  expect(faults.map(({ path, severity }) => [path[0], severity])).toEqual(
    expected === undefined ? [] : [expected],
  );
});
