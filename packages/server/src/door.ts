import type { EventEmitter } from "node:events";
import { Server } from "node:net";
import { noteStdin } from "./lifecycle.ts";

/**
 * A process that was told to be gated and is not must not serve. When it begins to read its standard input, or to listen,
 * `isGuarded` must be true; else `refuse` is called, which is expected to end the process. Bundled copies of the SDK
 * cannot be seen loading: this is where they are caught.
 */
export function watchDoors(isGuarded: () => boolean, refuse: (door: string) => void): void {
  watchStdin(isGuarded, refuse);
  const sockets = Server.prototype as { listen: (this: Server, ...given: unknown[]) => Server };
  const { listen } = sockets;
  sockets.listen = function watchedListen(this: Server, ...given: unknown[]): Server {
    // An HTTP server has somebody to hand requests to; a bare socket (a tool's own IPC) serves no MCP.
    if (REQUESTS.some((event) => this.listenerCount(event) > 0)) {
      if (!isGuarded()) refuse("listen");
    } else {
      watchListeners(this, (event) => {
        if (REQUESTS.includes(event) && !isGuarded()) refuse("listen");
      });
    }
    return listen.apply(this, given);
  };
}

/** What an HTTP/1 or HTTP/2 server emits for somebody to answer. */
const REQUESTS: readonly string[] = ["request", "stream"];

/** Hears of each listener that is added from now on, before it is. `once` and its like come by these as well. */
function watchListeners(emitter: EventEmitter, added: (event: string) => void): void {
  for (const name of ["on", "addListener", "prependListener"] as const) {
    const original = emitter[name].bind(emitter) as (...given: unknown[]) => unknown;
    emitter[name] = ((event: string, ...rest: unknown[]) => {
      added(event);
      original(event, ...rest);
      return emitter;
    }) as never;
  }
}

/** Reading is what counts: many programs only ask `process.stdin.isTTY`. */
function watchStdin(isGuarded: () => boolean, refuse: (door: string) => void): void {
  const descriptor = Object.getOwnPropertyDescriptor(process, "stdin");
  if (descriptor?.get === undefined) return;
  const open = descriptor.get.bind(process) as () => NodeJS.ReadStream;
  let watched: NodeJS.ReadStream | undefined;
  Object.defineProperty(process, "stdin", {
    ...descriptor,
    get: () => {
      if (watched !== undefined) return watched;
      const stdin = open();
      watched = stdin;
      noteStdin(stdin);
      watchListeners(stdin, (event) => {
        if ((event === "data" || event === "readable") && !isGuarded()) refuse("stdin");
      });
      return stdin;
    },
  });
}
