import { randomInt } from "node:crypto";
import { createServer } from "node:net";

/** Below the range from which the kernel gives ports to `listen(0)` and to connections: no parallel test gets one of these by itself. */
const FIRST = 10_240;
const LAST = 32_000;
const TRIES = 100;

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** A loopback port that nobody listens on, for a program that has to be told its port. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const port = randomInt(FIRST, LAST);
    if (await isFree(port)) return port;
  }
  throw new Error("no free port found");
}
