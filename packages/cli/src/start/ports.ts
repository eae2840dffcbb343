import { createServer } from "node:net";

/** A loopback port for the demonstration, and whether it is the one that was asked for. */
export interface PickedPort {
  readonly port: number;
  readonly wanted: boolean;
}

/** The wanted port when it is free on 127.0.0.1, any free one otherwise. Another process may still take it in between. */
export async function pickPort(wanted: number): Promise<PickedPort> {
  const port = (await tryPort(wanted)) ?? (await tryPort(0));
  if (port === undefined) throw new Error("no free loopback port");
  return { port, wanted: port === wanted };
}

function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => {
      const { port: actual } = server.address() as { port: number };
      server.close(() => resolve(actual));
    });
  });
}
