// The journal's shipper at the receiver that asks for a certificate: whom it trusts, who it is, and what happens without.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createJournal, type ShipTls } from "@countersign/journal";
import { silentLogger } from "@countersign/model";
import type { SentBy } from "@countersign/pipeline";
import { expect, onTestFinished, test } from "vitest";
import { decision, EPOCH_INFO } from "../../../journal/src/testing/journal-fixture.ts";
import { certificate, type Pair } from "../testing/certificates.ts";
import { startReceiver } from "../testing/receiver.ts";

const authority = certificate({ subject: "O=Acme,CN=Acme CA", isAuthority: true });
const server = certificate({ subject: "CN=localhost", issuer: authority, usage: "server" });
const client = certificate({ subject: "O=Acme,CN=tickets-1", issuer: authority, usage: "client" });
const CLIENTS = {
  clients: [{ subject: "O=Acme,CN=tickets-1", tenant: "acme", emitter: "tickets-1" }],
};

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "countersign-ship-tls-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function filesOf(directory: string, pair?: Pair): ShipTls {
  const put = (name: string, text: string): string => {
    const file = join(directory, name);
    writeFileSync(file, text);
    return file;
  };
  const caFile = put("ca.pem", authority.cert);
  if (pair === undefined) return { caFile };
  return { caFile, certFile: put("tls.crt", pair.cert), keyFile: put("tls.key", pair.key) };
}

async function ship(
  endpoint: string,
  tls: ShipTls | undefined,
  timeoutMs = 20_000,
): Promise<boolean> {
  const journal = createJournal({
    directory: join(scratch(), "journal"),
    emitter: "tickets-1",
    epoch: EPOCH_INFO,
    ship: { endpoint, ...(tls === undefined ? {} : { tls }) },
    log: silentLogger,
  });
  const sealed = await journal.append(decision());
  const done = await journal.acknowledged(sealed, timeoutMs);
  await journal.stop("shutdown", AbortSignal.timeout(100));
  return done;
}

test(
  "with a certificate events arrive, as of who it names; without it, or without the authority, they stay",
  { timeout: 30_000 },
  async () => {
    const senders: (SentBy | undefined)[] = [];
    const tls = { cert: server.cert, key: server.key, min_version: "1.2", reload_interval: "1s" };
    const mutual = { ...tls, client_ca: authority.cert, clients: JSON.stringify(CLIENTS) };
    await using one = await startReceiver({
      logs: async ({ sentBy }) => void senders.push(sentBy),
      http: { tls: mutual },
    });
    const stranger = certificate({ subject: "O=Acme,CN=tickets-1", usage: "client" });
    const strangers = [undefined, filesOf(scratch()), filesOf(scratch(), stranger)];
    const taken = await Promise.all(strangers.map((files) => ship(one.url, files, 1000)));
    expect(taken).toEqual([false, false, false]);
    expect(one.metric('receiver_refused_requests_total{reason="no_certificate"')).toBeGreaterThan(
      0,
    );
    expect(senders).toEqual([]);
    expect(await ship(one.url, filesOf(scratch(), client))).toBe(true);
    expect(senders[0]).toEqual({ tenant: "acme", emitter: "tickets-1" });
  },
);

test("a file that is not there, is no PEM, or comes without its other half is said at once", () => {
  const directory = scratch();
  const create = (tls: ShipTls) => () =>
    createJournal({
      directory: join(directory, "journal"),
      emitter: "tickets-1",
      epoch: EPOCH_INFO,
      ship: { endpoint: "https://127.0.0.1:1", tls },
      log: silentLogger,
    });
  const { certFile = "" } = filesOf(directory, client);
  writeFileSync(join(directory, "none.pem"), "secret of somebody");
  expect(create({ caFile: join(directory, "away.pem") })).toThrow(
    /away\.pem cannot be read \(ENOENT\)/,
  );
  expect(create({ caFile: join(directory, "none.pem") })).toThrow(/none\.pem is not PEM/);
  expect(create({ certFile })).toThrow(/a client certificate needs its key/);
  expect(create({ caFile: join(directory, "none.pem") })).not.toThrow(/secret of somebody/);
});
