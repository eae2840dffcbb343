// What comes to the port and is no HTTP/1.1 request: answered in the words of what it seems to speak, then cut.
import type { Server } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { FAULTS, type HttpFault } from "./http-fault.ts";

/** Told about each, by a closed list of reasons. */
export type CountBroken = (reason: string, address: string | undefined) => void;

/** Time to send an answer before the connection is cut. */
const LAST_WORDS_MS = 1000;

/** Answers what the parser of a server refuses. */
export function answerBrokenRequests(server: Server | HttpsServer, count: CountBroken): void {
  const inHandshake = new WeakSet<object>();
  // Before node:https makes a `clientError` of it: to a handshake that failed there is nothing to say.
  server.prependListener("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    inHandshake.add(socket);
    if (error.code === "ECONNRESET") return;
    const isPlain = error.code === "ERR_SSL_HTTP_REQUEST";
    count(isPlain ? "plain_http" : "tls_handshake", socket.remoteAddress);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    // Nothing to answer, and where the sender went away nothing to count.
    if (error.code === "ECONNRESET" || inHandshake.has(socket) || !socket.writable) {
      socket.destroy();
      return;
    }
    const { reason, bytes } = answerTo(error);
    count(reason, (socket as { remoteAddress?: string }).remoteAddress);
    const timer = setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
    socket.once("close", () => clearTimeout(timer));
    socket.end(bytes, () => socket.destroy());
  });
}

function answerTo(error: NodeJS.ErrnoException): { reason: string; bytes: string | Buffer } {
  if (error.code === "HPE_PAUSED_H2_UPGRADE" || isHttp2(error))
    return { reason: "http2", bytes: HTTP_1_1_REQUIRED };
  const fault = faultOfCode(error.code);
  return { reason: fault.reason, bytes: answerText(fault) };
}

/** gRPC, and everybody else with prior knowledge of HTTP/2, begins with its preface (RFC 9113, section 3.4). */
function isHttp2(error: NodeJS.ErrnoException): boolean {
  const { rawPacket } = error as { rawPacket?: Buffer };
  return rawPacket?.subarray(0, 14).toString("latin1") === "PRI * HTTP/2.0";
}

function faultOfCode(code: string | undefined): HttpFault {
  if (code === "HPE_HEADER_OVERFLOW") return FAULTS.headersTooLarge;
  return code === "ERR_HTTP_REQUEST_TIMEOUT" ? FAULTS.timeout : FAULTS.malformed;
}

function answerText({ status, code, message }: HttpFault): string {
  const body = JSON.stringify({ code, message });
  const head = [
    `HTTP/1.1 ${status} Refused`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

/** Two frames: empty SETTINGS, and GOAWAY with HTTP_1_1_REQUIRED (RFC 9113, sections 6.8 and 7), which gRPC shows to its user. */
const HTTP_1_1_REQUIRED = http2Refusal(FAULTS.grpc.message);

function http2Refusal(reason: string): Buffer {
  const debug = Buffer.from(reason, "ascii");
  const settings = Buffer.from([0, 0, 0, 0x4, 0, 0, 0, 0, 0]);
  const goaway = Buffer.alloc(17);
  goaway.writeUIntBE(8 + debug.length, 0, 3);
  goaway[3] = 0x7;
  goaway.writeUInt32BE(0xd, 13);
  return Buffer.concat([settings, goaway, debug]);
}
