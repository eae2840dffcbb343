// A TCP proxy on loopback that a test can make lose the answers of the other side, or everything.
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** A running proxy. */
export interface TcpProxy {
  readonly port: number;
  /** `deaf`: requests arrive, no answer comes back. `hole`: nothing arrives anywhere. `cut`: connections end, new ones are refused. */
  mode: "open" | "deaf" | "hole" | "cut";
  /** Requests with this Kafka API key end their connection. */
  refuse: number | undefined;
  close(): Promise<void>;
}

/** Listens on `port` and passes on to `target`, which may begin to listen later. */
export async function tcpProxy(port: number, target: () => number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let mode: TcpProxy["mode"] = "open";
  let refuse: number | undefined;
  const server = createServer((near) => {
    const far = connect(target(), "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      socket.on("error", () => undefined);
    }
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
    if (mode === "cut") near.destroy();
    near.on("data", (bytes) => {
      // A request is one chunk on loopback: its length in four bytes, then the API key.
      if (refuse !== undefined && bytes.length > 6 && bytes.readInt16BE(4) === refuse)
        near.destroy();
      else if (mode !== "hole") far.write(bytes);
    });
    far.on("data", (bytes) => {
      if (mode === "open") near.write(bytes);
    });
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port,
    get mode() {
      return mode;
    },
    set mode(next) {
      mode = next;
      if (next === "cut") for (const socket of sockets) socket.destroy();
    },
    get refuse() {
      return refuse;
    },
    set refuse(key) {
      refuse = key;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
