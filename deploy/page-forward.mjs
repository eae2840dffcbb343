// Inside the processor's network namespace: lets the host's loopback reach the page, which itself listens on loopback only.
// Usage: node page-forward.mjs LISTEN_PORT TARGET_PORT
import { connect, createServer } from "node:net";

const MAX_CONNECTIONS = 256;
const [listenPort, targetPort] = process.argv.slice(2).map(Number);

const server = createServer((incoming) => {
  const outgoing = connect(targetPort, "127.0.0.1");
  for (const socket of [incoming, outgoing]) {
    socket.on("error", () => {
      incoming.destroy();
      outgoing.destroy();
    });
  }
  incoming.pipe(outgoing).pipe(incoming);
});
server.maxConnections = MAX_CONNECTIONS;
server.listen(listenPort, "0.0.0.0");
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => process.exit(0));
