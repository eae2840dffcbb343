// The ledger of whole lives: agents, guards with real tools behind them, journals, shippers, a network that loses, a processor with its
// log, and a sink. Any of the processes is killed at any moment; then the books of all of them must tell one story (ledger-books.ts).
// COUNTERSIGN_SEED=n chooses the same deaths again; the operating system still decides what they interrupt.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listEpochs, readEpoch } from "@countersign/journal";
import { kindOf } from "@countersign/model";
import { expect, test } from "vitest";
import { createRandom, type Random } from "../../packages/journal/src/testing/random.ts";
import { archivedEvents } from "../e2e/archived-events.ts";
import { embeddedHome, type Running, startProcessor } from "../e2e/processor-process.ts";
import { freePort } from "../free-port.ts";
import { audit, type Books, gapsOf, isAllowed, newBooks } from "./ledger-books.ts";
import { runAgent, runShip } from "./ledger-crew.ts";
import { type LedgerWire, startLedgerWire } from "./ledger-wire.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";
const SEED = Number(process.env["COUNTERSIGN_SEED"] ?? 1);
const ROUNDS = LONG ? 200 : 4;
const CALLS = 30;
/** The processor of the first rounds, and what those after them choose from; with a call that waits for its word it is never away. */
const WEATHERS = ["there", "away", "killed"] as const;
/** Who writes where; the first one's events are taken on the way, now and then. */
const AGENTS = ["tickets-robbed", "tickets-b", "tickets-b"] as const;

test(
  "what ran was recorded, what was recorded is in the log and at the sink, and what is missing is found",
  { timeout: LONG ? 7_200_000 : 240_000 },
  async () => {
    const random = createRandom(SEED);
    const port = await freePort();
    using home = embeddedHome(port, (yaml) =>
      yaml.replace(/continuity: \{ state: (\S+) \}/, "continuity: { state: $1, settle: 500ms }"),
    );
    const books = newBooks();
    const to = `http://127.0.0.1:${port}`;
    const wire = await startLedgerWire({ books, random, to, victim: AGENTS[0] });
    const run = new LedgerRun({
      random,
      books,
      wire,
      directory: home.directory,
      config: home.config,
    });
    try {
      for (let round = 0; round < ROUNDS; round++) await run.round(round);
      await run.settle(() => home.lines("out"));
    } finally {
      await run.end();
      await wire.stop();
    }
    books.ran = readFileSync(run.effects, "utf8").split("\n").slice(0, -1);
    books.log = await archivedEvents(join(home.directory, "archive"));
    books.sink = home.lines("out").map(uidOf);
    const figures = figuresOf(books, run, wire);
    console.log(`ledger, seed ${SEED}: ${JSON.stringify(figures)}`);
    expect(audit(books), `COUNTERSIGN_SEED=${SEED}`).toEqual([]);
    expect(home.lines("dead-letter")).toEqual([]);
    // Chance must have reached what this test is for.
    expect(
      Math.min(figures.ran, figures.killed, figures.gaps, figures.lostAnswers),
    ).toBeGreaterThan(0);
  },
);

interface RunOptions {
  readonly random: Random;
  readonly books: Books;
  readonly wire: LedgerWire;
  readonly directory: string;
  readonly config: string;
}

class LedgerRun {
  readonly effects: string;
  killed = 0;
  processorKilled = 0;
  readonly #options: RunOptions;
  #processor: Running | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
    this.effects = join(options.directory, "effects");
    writeFileSync(this.effects, "");
  }

  /** Agents at work until they are done or dead, the processor there, away, or killed meanwhile; then the shipper's turn. */
  async round(round: number): Promise<void> {
    const { random, books } = this.#options;
    const weather = WEATHERS[round] ?? random.pick(waits(round) ? ["killed"] : WEATHERS);
    if (weather === "away") await this.#killProcessor();
    else await this.#startProcessor();
    const policy = this.#policyOf(round);
    const working = AGENTS.map((emitter, at) => this.#agent({ emitter, round, at, policy }));
    if (weather === "killed") {
      const before = books.toldRan.size;
      const goal = before + random.below(CALLS);
      const over = Promise.allSettled(working).then(() => true);
      while (books.toldRan.size < goal && !(await Promise.race([over, pause(5)])));
      await this.#killProcessor();
      await this.#startProcessor();
    }
    for (const killed of await Promise.all(working)) this.killed += killed;
    await this.#look();
    await Promise.all(
      [...new Set(AGENTS)].map(async (emitter) => {
        if (!random.chance(0.5)) return;
        const killAfterMs = 300 + random.below(700);
        const code = await runShip(
          this.#journalOf(emitter),
          this.#options.wire.endpoint,
          killAfterMs,
        );
        if (code === null) this.killed += 1;
      }),
    );
  }

  /** Everything arrives: the network is sound, the processor stays. */
  async settle(sink: () => readonly string[]): Promise<void> {
    const { wire, books } = this.#options;
    wire.trouble = 0;
    await this.#startProcessor();
    for (const emitter of new Set(AGENTS)) {
      const code = await runShip(this.#journalOf(emitter), wire.endpoint);
      if (code !== 0) throw new Error(`ship for ${emitter} ended with ${code}`);
    }
    const decisions = [...books.journal.values()].filter(
      ({ event, hash }) => kindOf(event.type) === "decision" && !books.stolen.has(hash),
    );
    const goal = decisions.length + gapsOf(books).length;
    const arrived = (): number => new Set(sink().map(uidOf)).size;
    // What does not arrive is the audit's to name.
    for (const end = Date.now() + 15_000; arrived() < goal && Date.now() < end;) await pause(50);
    // A finding that is none has time to be told.
    await pause(2_000);
  }

  async end(): Promise<void> {
    await this.#processor?.end("SIGTERM");
  }

  #agent(who: { emitter: string; round: number; at: number; policy: string }): Promise<number> {
    const { random, books, wire } = this.#options;
    const { emitter, policy, round, at } = who;
    const victims = ["guard", "guard", "agent", "tool", "nobody"] as const;
    return runAgent(
      {
        policy,
        emitter,
        journal: this.#journalOf(emitter),
        endpoint: wire.endpoint,
        effects: this.effects,
        ids: idsOf(round, at),
        together: 1 + random.below(4),
        fate: {
          victim: random.pick(victims),
          afterAsked: random.below(CALLS),
          delayMs: random.below(20),
        },
      },
      books,
    );
  }

  #journalOf(emitter: string): string {
    const directory = join(this.#options.directory, emitter);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return directory;
  }

  #policyOf(round: number): string {
    const ids = AGENTS.flatMap((_, at) => idsOf(round, at)).filter((id) => isAllowed(id));
    const path = join(this.#options.directory, `policy-${round}.yaml`);
    writeFileSync(
      path,
      `version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
durability: ${waits(round) ? "acknowledged" : "journal"}
identity: { minimum: asserted, subject: "user:{human.subject}" }
authorizer:
  relationships:
${ids.map((id) => `    - "ticket:${id}#close@user:alice"`).join("\n")}
tools:
  close_ticket: { permission: close, resource: "ticket:{arguments.id}" }
default: deny
`,
    );
    return path;
  }

  /** What the journals hold while nobody writes. */
  async #look(): Promise<void> {
    const { books } = this.#options;
    for (const emitter of new Set(AGENTS)) {
      for (const { path } of await listEpochs(this.#journalOf(emitter))) {
        for await (const { event } of readEpoch(path)) books.journal.set(event.hash, event);
      }
    }
  }

  async #startProcessor(): Promise<void> {
    this.#processor ??= await startProcessor(this.#options.config);
  }

  async #killProcessor(): Promise<void> {
    if (this.#processor === undefined) return;
    await this.#processor.end("SIGKILL");
    this.processorKilled += 1;
    this.#processor = undefined;
  }
}

/** Calls of every third round wait for the processor's word. */
function waits(round: number): boolean {
  return round % 3 === 2;
}

/** Every fifth is forbidden. */
function idsOf(round: number, agent: number): string[] {
  return Array.from(
    { length: CALLS },
    (_, call) => `t-${round}-${agent}-${call}${call % 5 === 4 ? "-x" : ""}`,
  );
}

function pause(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms));
}

function uidOf(line: string): string {
  return (JSON.parse(line) as { metadata: { uid: string } }).metadata.uid;
}

function figuresOf(
  books: Books,
  run: LedgerRun,
  wire: LedgerWire,
): Record<string, number> & {
  readonly ran: number;
  readonly killed: number;
  readonly gaps: number;
  readonly lostAnswers: number;
} {
  return {
    asked: books.asked.size,
    ran: books.ran.length,
    refused: books.toldRefused.size,
    journal: books.journal.size,
    log: books.log.length,
    sink: new Set(books.sink).size,
    sinkTwice: books.sink.length - new Set(books.sink).size,
    taken: books.stolen.size,
    gaps: gapsOf(books).length,
    killed: run.killed,
    processorKilled: run.processorKilled,
    lostRequests: wire.lost.requests,
    lostAnswers: wire.lost.answers,
  };
}
