// The contract's production front (every address, TLS, tokens from files) as a whole service, and the emitters' own shipper to it.
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tls from "node:tls";
import { createJournal } from "@countersign/journal";
import { silentLogger } from "@countersign/model";
import { createService, loadConfig } from "@countersign/processor";
import { expect, test } from "vitest";
import { decision, EPOCH_INFO } from "../../packages/journal/src/testing/journal-fixture.ts";
import { certificate } from "../../packages/processor/src/testing/certificates.ts";

const TOKEN = randomBytes(32).toString("base64url");

const CONFIG = (at: string): string => `
extensions:
  health_check: { endpoint: 0.0.0.0:0 }
  metrics: { endpoint: 0.0.0.0:0 }
  bearer_auth: { tokens: "\${file:${at}/emitters.json}" }
receivers:
  otlp:
    protocols:
      http:
        endpoint: 0.0.0.0:0
        tls: { cert: "\${file:${at}/tls.crt}", key: "\${file:${at}/tls.key}", reload_interval: 20ms }
        auth: bearer_auth
processors:
  intake: {}
exporters:
  file/events: { directory: ${at}/events, format: native }
  file/dead: { directory: ${at}/dead, format: native }
  file/quarantine: { directory: ${at}/quarantine, format: native }
service:
  extensions: [health_check, metrics, bearer_auth]
  dead_letter: file/dead
  quarantine: file/quarantine
  pipelines:
    decisions: { receivers: [otlp], processors: [intake], exporters: [file/events] }
`;

// Node 22.15 has no way to trust an authority for one process that runs already.
const canTrust = typeof tls.setDefaultCACertificates === "function";

test.skipIf(!canTrust)(
  "an emitter ships over TLS with its token, before and after the certificate changed",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "countersign-front-"));
    const authority = certificate({ subject: "CN=test authority", isAuthority: true });
    const write = (subject: string): void => {
      const pair = certificate({ subject, issuer: authority, usage: "server" });
      writeFileSync(join(directory, "tls.crt"), pair.cert);
      writeFileSync(join(directory, "tls.key"), pair.key);
    };
    write("CN=first");
    const sha256 = createHash("sha256").update(TOKEN).digest("hex");
    const rows = [{ sha256, tenant: EPOCH_INFO.tenant, emitter: "tickets-*" }];
    writeFileSync(join(directory, "emitters.json"), JSON.stringify({ tokens: rows }));
    const { config, warnings } = loadConfig(CONFIG(directory), "front.yaml", {});
    expect(warnings.map(({ path }) => path)).toEqual([
      "extensions.health_check.endpoint",
      "extensions.metrics.endpoint",
    ]);
    const service = createService(config, { logger: () => silentLogger });
    await service.start();
    const port = Number(new URL(service.endpoints["otlp"] as string).port);
    const shown = (): Promise<string | undefined> =>
      new Promise((resolve, reject) => {
        const socket = tls.connect({ port, host: "localhost", ca: authority.cert }, () => {
          resolve(socket.getPeerX509Certificate()?.subject);
          socket.destroy();
        });
        socket.once("error", reject);
      });
    const trusted = tls.getCACertificates();
    tls.setDefaultCACertificates([...trusted, authority.cert]);
    try {
      for (const subject of ["CN=first", "CN=second"]) {
        write(subject);
        await expect.poll(shown).toBe(subject);
        const journal = createJournal({
          directory: join(directory, subject),
          emitter: "tickets-1",
          epoch: EPOCH_INFO,
          env: {},
          ship: {
            endpoint: `https://localhost:${port}`,
            headers: { authorization: `Bearer ${TOKEN}` },
          },
        });
        const event = await journal.append(decision());
        expect(await journal.acknowledged(event, 10_000)).toBe(true);
        await journal.stop("shutdown", AbortSignal.timeout(5000));
      }
      const figures = await (await fetch(`${url(service.endpoints["metrics"])}/metrics`)).text();
      expect(figures).toMatch(/countersign_receiver_accepted_log_records_total\S* [1-9]/);
      for (const secret of [TOKEN, sha256, "PRIVATE"]) expect(figures).not.toContain(secret);
      expect((await fetch(`${url(service.endpoints["health_check"])}/ready`)).status).toBe(200);
    } finally {
      tls.setDefaultCACertificates(trusted);
      await service.stop(AbortSignal.timeout(5000));
      rmSync(directory, { recursive: true, force: true });
    }
  },
  60_000,
);

/** What listens everywhere is asked here. */
function url(endpoint: string | undefined): string {
  return `http://127.0.0.1:${new URL(endpoint as string).port}`;
}
