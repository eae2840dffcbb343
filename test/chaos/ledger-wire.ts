// The network between shippers and processor: it loses requests and answers, refuses, and, if it is told to, takes events out of
// requests for good, as a host in between could. What passes it is what journals held.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256Hex, unseal } from "@countersign/model";
import type { Random } from "../../packages/journal/src/testing/random.ts";
import type { Books } from "./ledger-books.ts";

/** How the network is. */
export interface LedgerWire {
  readonly endpoint: string;
  /** Of requests, 0 to 1: lost, refused, or answered with an answer that is lost. */
  trouble: number;
  /** Requests that were lost, answers that were. */
  readonly lost: { requests: number; answers: number };
  stop(): Promise<void>;
}

interface WireOptions {
  readonly books: Books;
  readonly random: Random;
  /** Base URL of the processor. */
  readonly to: string;
  /** The emitter whose events are taken. */
  readonly victim: string;
}

interface LogRequest {
  readonly resourceLogs: {
    readonly scopeLogs: { logRecords: { readonly body: { readonly stringValue: string } }[] }[];
  }[];
}

const THEFT = 0.5;

/** Opens it on a free port of this host. */
export async function startLedgerWire(options: WireOptions): Promise<LedgerWire> {
  const { random } = options;
  const thief = createThief(options);
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = thief(await read(request));
    const what = random.chance(wire.trouble) ? random.below(3) : 3;
    if (what === 0) {
      wire.lost.requests += 1;
      response.destroy();
    } else if (what === 1) response.writeHead(503, { "retry-after": "0" }).end();
    else {
      const status = await forward(`${options.to}/v1/logs`, body);
      if (what === 2 && status === 200) wire.lost.answers += 1;
      if (what === 2 || status === undefined) response.destroy();
      else response.writeHead(status).end("{}");
    }
  };
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const wire: LedgerWire = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    trouble: 0.2,
    lost: { requests: 0, answers: 0 },
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return wire;
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

async function forward(url: string, body: string): Promise<number | undefined> {
  try {
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body });
    await response.arrayBuffer();
    return response.status;
  } catch {
    // The processor is away, or went away.
    return undefined;
  }
}

/**
 * Notes what a request holds, and gives it on, without what was taken. An event is taken when it is first seen, or never; neither the
 * first of an epoch nor the last of a request, so that what comes after it shows the gap.
 */
function createThief({ books, random, victim }: WireOptions): (body: string) => string {
  const passed = new Set<string>();
  return (body) => {
    const request = JSON.parse(body) as LogRequest;
    for (const { scopeLogs } of request.resourceLogs) {
      for (const scope of scopeLogs) {
        const events = scope.logRecords.map((record) =>
          unseal(Buffer.from(record.body.stringValue)),
        );
        const fresh = events.slice(0, -1).filter(({ hash }) => !passed.has(hash));
        const ours = fresh.filter(({ event }) => {
          const { chain } = event.data as { chain: { emitter: string; seq: number } };
          return chain.emitter === victim && chain.seq > 0;
        });
        for (const sealed of events) {
          passed.add(sealed.hash);
          books.journal.set(sealed.hash, sealed);
        }
        if (ours.length > 0 && random.chance(THEFT)) books.stolen.add(random.pick(ours).hash);
        scope.logRecords = scope.logRecords.filter(
          ({ body: { stringValue } }) => !books.stolen.has(sha256Hex(stringValue)),
        );
      }
    }
    return JSON.stringify(request);
  };
}
