// What comes to the port and is no HTTP/1.1 request: answered in the words of what it seems to speak, then cut.
import type { Server } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Duplex } from "node:stream";
import type { HttpFault } from "./http-fault.ts";
import { FAULTS } from "./http-fault.ts";

/** Told about each, by a closed list of reasons. */
export type CountBroken = (reason: string, address: string | undefined) => void;

/** Answers what the parser of a server refuses. */
export function answerBrokenRequests(server: Server | HttpsServer, count: CountBroken): void {
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    const address = (socket as { remoteAddress?: string }).remoteAddress;
    // Sent by senders that go away: nothing to answer, nothing to count.
    if (error.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    if (error.code === "HPE_PAUSED_H2_UPGRADE" || isHttp2(error)) {
      count("http2", address);
      socket.end(HTTP_1_1_REQUIRED, () => socket.destroy());
      return;
    }
    const fault = faultOfCode(error.code);
    count(fault.reason, address);
    socket.end(answerText(fault), () => socket.destroy());
  });
  server.on(
    "tlsClientError",
    (error: NodeJS.ErrnoException, socket: { remoteAddress?: string }) => {
      if (error.code === "ECONNRESET") return;
      const isPlain = error.code === "ERR_SSL_HTTP_REQUEST";
      count(isPlain ? "plain_http" : "tls_handshake", socket.remoteAddress);
    },
  );
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
