// A closed loop of OTLP senders: each sends its next body when the one before was taken.
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

/** What is sent. */
export interface Load {
  readonly url: string;
  readonly bodies: readonly Buffer[];
  readonly gzip: boolean;
  /** Senders at once, a connection each. */
  readonly concurrency: number;
}

/** Answers after which a sender has to try again (OTLP/HTTP, "Failures"); any other but 200 ends the bench. */
const AGAIN: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** Sends all bodies `rounds` times. Resolves when the last was answered 200; gives how often the answer was "again". */
export async function send(load: Load, rounds: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: load.concurrency });
  const total = rounds * load.bodies.length;
  let next = 0;
  let refused = 0;
  const loop = async (): Promise<void> => {
    while (next < total) {
      const body = load.bodies[next++ % load.bodies.length] as Buffer;
      for (;;) {
        const status = await post(load, agent, body);
        if (status === 200) break;
        if (!AGAIN.has(status)) throw new Error(`bench: a body was answered ${status}`);
        refused += 1;
        await delay(20);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: load.concurrency }, loop));
  } finally {
    agent.destroy();
  }
  return refused;
}

async function post({ url, gzip }: Load, agent: Agent, body: Buffer): Promise<number> {
  const headers = {
    "content-type": "application/x-protobuf",
    "content-length": body.length,
    ...(gzip ? { "content-encoding": "gzip" } : {}),
  };
  const sent = request(url, { agent, method: "POST", headers });
  sent.end(body);
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response.statusCode ?? 0;
}
