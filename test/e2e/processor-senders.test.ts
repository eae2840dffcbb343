// The emitters' own shipper against a receiver that asks who they are: the whole service of a configuration, in this process.
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createJournal, type EpochInfo, type Journal } from "@countersign/journal";
import { draftDecision, type Logger, silentLogger, uuidv7 } from "@countersign/model";
import { createService, loadConfig, type Service } from "@countersign/processor";
import { expect, test } from "vitest";

const EPOCH: EpochInfo = {
  tenant: "acme",
  mode: "enforce",
  durability: "journal",
  gate: "in_process",
  server: { id: "urn:mcp:tickets" },
  policy: { digest: `sha256:${"0".repeat(64)}`, default: "deny" },
  runtime: { countersign: "0.1.0", node: process.versions.node, os: process.platform },
  coverage: () => ({ sdks: [] }),
};

function decision(): ReturnType<typeof draftDecision> {
  return draftDecision({
    id: uuidv7(),
    nameKnown: true,
    tenant: EPOCH.tenant,
    mode: "enforce",
    decision: "allow",
    reason: "permitted",
    effect: "run",
    call: { method: "tools/call", name: "read_ticket", transport: "stdio", gate: "in_process" },
    server: EPOCH.server,
    policy: { digest: EPOCH.policy.digest },
    durationUs: 3120,
  });
}

interface Scene {
  readonly service: Service;
  /** What is in a letter box or the file of events: a line each. */
  lines(name: "events" | "dead" | "quarantine"): readonly string[];
  writeTokens(text: string): void;
  journal(token: string | undefined, log?: Logger): Journal;
  [Symbol.asyncDispose](): Promise<void>;
}

async function scene(tokens: string): Promise<Scene> {
  const directory = mkdtempSync(join(tmpdir(), "countersign-senders-"));
  const file = join(directory, "emitters.json");
  writeFileSync(file, tokens);
  const text = `
extensions:
  bearer_auth: { tokens: "\${file:${file}}", reload_interval: 20ms }
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:0", auth: bearer_auth } } }
processors:
  intake: {}
exporters:
  file/events: { directory: ${directory}/events, format: native }
  file/dead: { directory: ${directory}/dead, format: native }
  file/quarantine: { directory: ${directory}/quarantine, format: native }
service:
  extensions: [bearer_auth]
  dead_letter: file/dead
  quarantine: file/quarantine
  pipelines:
    decisions: { receivers: [otlp], processors: [intake], exporters: [file/events] }
`;
  const service = createService(loadConfig(text, "senders.yaml", {}).config, {
    logger: () => silentLogger,
  });
  await service.start();
  const journals: Journal[] = [];
  return {
    service,
    lines: (name) =>
      readdirSync(join(directory, name)).flatMap((one) =>
        readFileSync(join(directory, name, one), "utf8")
          .split("\n")
          .slice(0, -1),
      ),
    writeTokens: (changed) => writeFileSync(file, changed),
    journal: (token, log = silentLogger) => {
      const journal = createJournal({
        directory: join(directory, `journal-${journals.length}`),
        emitter: "tickets-1",
        epoch: EPOCH,
        env: {},
        log,
        ship: {
          endpoint: service.endpoints["otlp"] as string,
          ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
        },
      });
      journals.push(journal);
      return journal;
    },
    [Symbol.asyncDispose]: async () => {
      for (const journal of journals) await journal.stop("shutdown", AbortSignal.timeout(1000));
      await service.stop(AbortSignal.timeout(5000));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const TOKEN = randomBytes(32).toString("base64url");

function tokensFor(tenant: string, emitter: string): string {
  const sha256 = createHash("sha256").update(TOKEN).digest("hex");
  return JSON.stringify({ tokens: [{ sha256, tenant, emitter }] });
}

test("events of the credential's tenant and emitter arrive", async () => {
  await using at = await scene(tokensFor("acme", "tickets-*"));
  const journal = at.journal(TOKEN);
  const event = await journal.append(decision());
  expect(await journal.acknowledged(event, 10_000)).toBe(true);
  expect(journal.status().shipping).toBe("ok");
  expect(at.lines("events").some((line) => line.includes(event.event.id))).toBe(true);
  expect(at.lines("dead")).toEqual([]);
});

test.each([
  ["other", "tickets-*", "tenant_mismatch"],
  ["acme", "billing-*", "emitter_mismatch"],
])("with a credential of %s and %s they are dead letters: %s", async (tenant, emitter, reason) => {
  await using at = await scene(tokensFor(tenant, emitter));
  const journal = at.journal(TOKEN);
  const event = await journal.append(decision());
  expect(await journal.acknowledged(event, 10_000)).toBe(true);
  expect(at.lines("events")).toEqual([]);
  const letters = at.lines("dead").map((line) => JSON.parse(line) as { reason: string });
  expect(letters.length).toBeGreaterThanOrEqual(2);
  expect(new Set(letters.map((letter) => letter.reason))).toEqual(new Set([reason]));
});

test.each([
  ["no token", undefined],
  ["a wrong one", "x".repeat(43)],
])("with %s the shipper stops, says so, and keeps every event", async (_what, token) => {
  await using at = await scene(tokensFor("acme", "*"));
  const said: string[] = [];
  const error = (message: string): void => void said.push(message);
  const journal = at.journal(token, { ...silentLogger, error });
  const event = await journal.append(decision());
  expect(await journal.acknowledged(event, 500)).toBe(false);
  await expect.poll(() => journal.status().shipping).toBe("halted");
  await journal.append(decision());
  expect(said.filter((one) => one.includes("credential"))).toHaveLength(1);
  expect(said.join()).not.toContain("xxxx");
  expect(journal.status().unacknowledged).toBeGreaterThanOrEqual(3);
  expect([...at.lines("events"), ...at.lines("dead"), ...at.lines("quarantine")]).toEqual([]);
});

test("a token that is taken off the list halts its emitter; the next one goes on", async () => {
  await using at = await scene(tokensFor("acme", "*"));
  const journal = at.journal(TOKEN);
  const event = await journal.append(decision());
  expect(await journal.acknowledged(event, 10_000)).toBe(true);
  at.writeTokens('{"tokens": []}');
  await expect
    .poll(
      async () => {
        await journal.append(decision());
        return journal.status().shipping;
      },
      { timeout: 10_000 },
    )
    .toBe("halted");
});
