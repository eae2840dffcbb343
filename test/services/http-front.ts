// What stands before a sink on the network: passes everything on, or does what gateways do, refuse and ask for time. Or it is away.
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { request as requestTls } from "node:https";

/** How it behaves for the next requests. */
export type FrontMood =
  | "open"
  /** Connections end; new ones are refused. */
  | "away"
  /** Requests arrive, and are never answered. */
  | "hangs"
  /** An answer of its own; nothing is passed on. */
  | { readonly status: number; readonly retryAfter?: string };

/** A running front. */
export interface HttpFront {
  readonly url: string;
  mood: FrontMood;
  /** Answers of its own, by status. */
  readonly answered: ReadonlyMap<number, number>;
  close(): Promise<void>;
}

/** What stands behind it; with `ca` it is asked over TLS, as localhost. */
export interface FrontTarget {
  readonly port: number;
  readonly ca?: string;
}

/** Listens on `port` and passes on to `target`. */
export async function httpFront(port: number, target: FrontTarget): Promise<HttpFront> {
  const answered = new Map<number, number>();
  let mood: FrontMood = "open";
  const server = createServer((incoming, outgoing) => {
    incoming.on("error", () => undefined);
    outgoing.on("error", () => undefined);
    if (mood === "open") passOn(incoming, outgoing, target);
    else if (mood === "away") incoming.socket.destroy();
    else if (mood !== "hangs") {
      const { status, retryAfter } = mood;
      incoming.resume();
      incoming.on("end", () => {
        answered.set(status, (answered.get(status) ?? 0) + 1);
        outgoing.writeHead(status, retryAfter === undefined ? {} : { "retry-after": retryAfter });
        outgoing.end();
      });
    }
  });
  server.on("connection", (socket) => {
    if (mood === "away") socket.destroy();
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${port}`,
    get mood() {
      return mood;
    },
    set mood(next) {
      mood = next;
      // What hangs, or is under way, ends as a service that dies ends it.
      server.closeAllConnections();
    },
    answered,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function passOn(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { port, ca }: FrontTarget,
): void {
  const { method, url, headers } = incoming;
  const ask = ca === undefined ? request : requestTls;
  const trust = ca === undefined ? {} : { ca, servername: "localhost" };
  const to = { host: "127.0.0.1", port, method, path: url, headers, ...trust };
  const onward = ask(to, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.on("error", () => outgoing.destroy());
    answer.pipe(outgoing);
  });
  onward.on("error", () => outgoing.destroy());
  outgoing.on("close", () => onward.destroy());
  incoming.pipe(onward);
}
