// Emitters that send over OTLP and do not give up: the real journal with its shipper, and plain senders that note every 200.
import { createHash } from "node:crypto";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createJournal } from "@countersign/journal";
import { type SealedEvent, silentLogger } from "@countersign/model";
import { decision, EPOCH_INFO } from "../../packages/journal/src/testing/journal-fixture.ts";
import { EmitterLife } from "../../packages/processor/src/testing/emitter-life.ts";
import { logRecord, requestOf } from "../../packages/processor/src/testing/logs.ts";
import { createRandom } from "../../packages/processor/src/testing/random.ts";

/** One emitter: a chain of its own, sent in order. */
export interface Emitter {
  /** Makes and sends so many events; resolves when all of them are acknowledged. */
  send(count: number): Promise<void>;
  /** Ends its chain, and resolves when all of it is acknowledged. */
  end(): Promise<void>;
}

/** What the emitters saw. */
export interface Sent {
  /** Hashes of the events that were made. */
  readonly made: Set<string>;
  /** Of those, what an answer of 200 covered. */
  readonly answered: Set<string>;
  /** Requests that were not answered, or not with 200. */
  refusals: number;
  /** Answers of 200 that say more than that everything was taken. */
  partial: number;
}

/** Where emitters send to, and what they note. */
export interface Target {
  readonly endpoint: string;
  readonly sent: Sent;
  /** Ends who would try for ever. */
  readonly signal: AbortSignal;
}

const ANSWER_MS = 30_000;
/** A moment for whoever is away; the tests do not have the seconds that a Retry-After asks for. */
const AGAIN_MS = 200;

/** Posts by itself: one request at a time, the same again until the answer is 200; then never again. */
export function plainEmitter(name: string, { endpoint, sent, signal }: Target): Emitter {
  const life = new EmitterLife(createRandom(hashCode(name)), name);
  const epoch = life.start();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const url = new URL("/v1/logs", endpoint);
  const ship = async (): Promise<void> => {
    const events = epoch.unsent.splice(0);
    for (const event of events) sent.made.add(event.hash);
    const body = Buffer.from(JSON.stringify(requestOf(events.map(logRecord))));
    while (!(await isTaken(url, agent, body, sent))) await delay(AGAIN_MS, undefined, { signal });
    for (const event of events) sent.answered.add(event.hash);
  };
  return {
    send: async (count) => {
      while (epoch.unsent.length < count) {
        life.decide(epoch);
        life.finish(epoch);
      }
      await ship();
    },
    end: async () => {
      life.stop(epoch);
      await ship();
      agent.destroy();
    },
  };
}

/** Emitters do not share the names of their epochs. */
function hashCode(name: string): number {
  return createHash("sha256").update(name).digest().readUInt32BE();
}

async function isTaken(url: URL, agent: Agent, body: Buffer, sent: Sent): Promise<boolean> {
  const answer = await post(url, agent, body).catch(() => undefined);
  if (answer?.status !== 200) {
    sent.refusals += 1;
    return false;
  }
  if (answer.text !== "{}") sent.partial += 1;
  return true;
}

/** Rejects when there is no whole answer. */
function post(url: URL, agent: Agent, body: Buffer): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const headers = { "content-type": "application/json", "content-length": body.length };
  const signal = AbortSignal.timeout(ANSWER_MS);
  const asked = request(url, { method: "POST", agent, headers, signal }, (answer) => {
    let text = "";
    answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
    answer.on("error", reject);
    answer.on("aborted", () => reject(new Error("cut")));
    answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
  });
  asked.on("error", reject);
  asked.end(body);
  return promise;
}

/** A real journal: what it wrote to its disk is shipped by its own shipper. */
export function journalEmitter(name: string, target: Target & { directory: string }): Emitter {
  const { endpoint, directory, sent, signal } = target;
  const journal = createJournal({
    directory: join(directory, name),
    emitter: name,
    epoch: EPOCH_INFO,
    ship: { endpoint },
    heartbeatMs: 3_600_000,
    log: silentLogger,
  });
  return {
    send: async (count) => {
      const events = await Promise.all(
        Array.from({ length: count }, () => journal.append(decision())),
      );
      for (const { hash } of events) sent.made.add(hash);
      const last = events.at(-1) as SealedEvent;
      while (!(await journal.acknowledged(last, ANSWER_MS))) {
        signal.throwIfAborted();
        sent.refusals += 1;
      }
      for (const { hash } of events) sent.answered.add(hash);
    },
    end: () => journal.stop("shutdown", AbortSignal.timeout(ANSWER_MS)),
  };
}
