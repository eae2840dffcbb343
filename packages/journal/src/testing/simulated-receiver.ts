// A simulated processor behind a simulated network: requests and answers get lost, the receiver is away, and what it keeps is
// compared with what it kept before. Strict, as the real one in otlp-receiver.ts is; its form is checked there.
import { CountersignError, sha256Hex } from "@countersign/model";
import type { Answer, Poster } from "../ship/post.ts";
import { systemError } from "./faulty-fs.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";

/** An event that the processor has taken responsibility for. */
export interface KeptEvent {
  readonly epoch: string;
  readonly seq: number;
  readonly hash: string;
  readonly text: string;
}

/** What the simulated network does to a request. */
export interface NetworkWeather {
  readonly random: Random;
  /** Of requests, 0 to 1: lost on the way, refused, or answered with an answer that is lost. */
  readonly trouble: number;
}

/** One receiver for all lives of a machine. */
export class SimulatedReceiver {
  /** By `epoch/seq`, in the order of first arrival. */
  readonly kept: Map<string, KeptEvent> = new Map();
  readonly problems: string[] = [];
  /** Looks at each event as it arrives, kept or not. */
  arriving: (event: KeptEvent) => void = () => undefined;

  /** The network of one process. */
  connect(schedule: Schedule, weather: () => NetworkWeather): Poster {
    return {
      target: "simulated",
      post: (body, signal) =>
        schedule.run("post", () => {
          if (signal.aborted) throw new CountersignError("CANCELLED", "journal/ship: given up");
          return this.#receive(body, weather());
        }),
      close: () => undefined,
    };
  }

  #receive(body: string, { random, trouble }: NetworkWeather): Answer {
    const events = eventsOf(body);
    for (const event of events) this.arriving(event);
    const troubled = random.chance(trouble);
    const what = troubled ? random.below(4) : 4;
    if (what === 0) throw systemError("ECONNREFUSED", "connect");
    if (what === 1) return { status: 503, retryAfterMs: random.pick([undefined, 0]), body: "" };
    if (what === 2 && events.length > 1) return { status: 413, retryAfterMs: undefined, body: "" };
    for (const event of events) this.#keep(event);
    if (what === 3) throw systemError("ECONNRESET", "read");
    return { status: 200, retryAfterMs: undefined, body: "{}" };
  }

  #keep(event: KeptEvent): void {
    const key = `${event.epoch}/${event.seq}`;
    const before = this.kept.get(key);
    if (before === undefined) this.kept.set(key, event);
    else if (before.hash !== event.hash) this.problems.push(`${key}: two events of this number`);
  }
}

function eventsOf(body: string): KeptEvent[] {
  const request = JSON.parse(body) as {
    resourceLogs: {
      scopeLogs: { logRecords: { body: { stringValue: string } }[] }[];
    }[];
  };
  const records = request.resourceLogs.flatMap(({ scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) => logRecords),
  );
  return records.map((record) => {
    const text = record.body.stringValue;
    const { epoch, seq } = (JSON.parse(text) as { data: { chain: KeptEvent } }).data.chain;
    return { epoch, seq, hash: sha256Hex(text), text };
  });
}
