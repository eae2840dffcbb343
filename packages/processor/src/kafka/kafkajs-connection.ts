// Connections of the client library that can be cut. The library goes on trying after its `disconnect`: what we have given up
// must not come back and write.
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ISocketFactory, Kafka, KafkaConfig, SASLOptions } from "kafkajs";
import { loadKafkajs } from "./kafkajs-patched.ts";
import type { Connection } from "./settings.ts";

/** A client of the library with sockets of its own. */
export interface Severable {
  readonly kafka: Kafka;
  /** Destroys every socket and refuses new ones. What is under way fails; nothing of it is sent any more. */
  readonly sever: () => void;
}

const KEEP_ALIVE_MS = 60_000;

/** Makes a client; it connects when it is used. */
export function severableClient(connection: Connection): Severable {
  const { Kafka, logLevel } = loadKafkajs();
  const sockets = new Set<Socket>();
  let severed = false;
  const socketFactory: ISocketFactory = ({ host, port, ssl, onConnect }) => {
    if (severed) throw new Error("the client was given up");
    const socket = ssl
      ? connectTls(
          { host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...ssl },
          onConnect,
        )
      : connect({ host, port }, onConnect);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    return socket;
  };
  const { brokers, clientId, tls, sasl, connectTimeoutMs, requestTimeoutMs } = connection;
  const config: KafkaConfig = {
    brokers: [...brokers],
    clientId,
    ssl: tls === true ? {} : tls,
    ...(sasl === undefined ? {} : { sasl: sasl as SASLOptions }),
    connectionTimeout: connectTimeoutMs,
    authenticationTimeout: connectTimeoutMs,
    requestTimeout: requestTimeoutMs,
    // A few quick tries: whoever uses the client has a deadline, and tries with a new one after it.
    retry: { retries: 3, initialRetryTime: 100, maxRetryTime: 1000 },
    // Its messages quote addresses and stacks; what matters is reported by those who use it.
    logLevel: logLevel.NOTHING,
    socketFactory,
  };
  return {
    kafka: new Kafka(config),
    sever: () => {
      severed = true;
      // With an error, so that the library learns of it at once.
      for (const socket of sockets) socket.destroy(new Error("the client was given up"));
    },
  };
}
