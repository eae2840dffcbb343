// A receiver of syslog that takes nothing but what RFC 5424 and 5425 allow: a fake, and a strict one. The real ones are in test/services.
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { SyslogConfig } from "../exporters/syslog/settings.ts";

/** Settings as validation leaves them, with short times. */
export const SYSLOG_DEFAULTS: Omit<SyslogConfig, "endpoint"> = {
  transport: "tcp",
  tls: { min_version: "1.2" },
  format: "native",
  confirm: "close",
  settle: "200ms",
  connect_timeout: "2s",
  timeout: "1s",
  max_in_flight: 4,
  max_message: "8096B",
  facility: 13,
  hostname: "-",
  app_name: "countersign",
  enterprise_number: 32_473,
  bom: false,
};

/** A message by the grammar of RFC 5424. */
export interface StrictMessage {
  readonly priority: number;
  readonly time: string;
  readonly hostname: string;
  readonly appName: string;
  readonly procId: string;
  readonly msgId: string;
  readonly sdId: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly payload: string;
}

/** What it does with a connection. */
export type ReceiverMood = "reads" | "resets" | "closes" | "stands" | "drips" | "stays_open";

/** The receiver. */
export interface StrictReceiver {
  readonly port: number;
  /** What came on connections that were read to their end, or is whole so far. */
  readonly messages: StrictMessage[];
  /** What was against the rules. */
  readonly violations: string[];
  readonly connections: number;
  mood: ReceiverMood;
  /** Closes what is open. */
  hangUp(): void;
  close(): Promise<void>;
}

/** Listens on loopback. */
export async function strictReceiver(tls?: TlsOptions): Promise<StrictReceiver> {
  const sockets = new Set<Socket>();
  const state: { mood: ReceiverMood; connections: number } = { mood: "reads", connections: 0 };
  const messages: StrictMessage[] = [];
  const violations: string[] = [];
  const take = (socket: Socket): void => {
    state.connections += 1;
    socket.on("error", () => undefined);
    serve(socket, state.mood, { messages, violations });
  };
  const options = { allowHalfOpen: true };
  const server: Server =
    tls === undefined ? createServer(options, take) : createTlsServer({ ...options, ...tls }, take);
  server.on("tlsClientError", () => undefined);
  // Below TLS: also those that never got through the handshake.
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const hangUp = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    messages,
    violations,
    get connections() {
      return state.connections;
    },
    get mood() {
      return state.mood;
    },
    set mood(mood) {
      state.mood = mood;
    },
    hangUp,
    close: () => (hangUp(), new Promise<void>((resolve) => server.close(() => resolve()))),
  };
}

interface Taken {
  readonly messages: StrictMessage[];
  readonly violations: string[];
}

const DRIP_MS = 50;

function serve(socket: Socket, mood: ReceiverMood, taken: Taken): void {
  if (mood === "stands") return;
  if (mood === "closes") return void socket.end();
  if (mood === "resets") return void socket.once("data", () => socket.resetAndDestroy());
  let rest: Buffer = Buffer.alloc(0);
  if (mood === "drips") {
    socket.on("readable", () => undefined);
    const timer = setInterval(() => socket.read(1), DRIP_MS);
    socket.once("close", () => clearInterval(timer));
    return;
  }
  socket.on("data", (chunk: Buffer) => {
    rest = frames(Buffer.concat([rest, chunk]), taken);
  });
  socket.once("end", () => {
    if (rest.length > 0) taken.violations.push(`${rest.length} bytes of a frame without its end`);
    if (mood === "reads") socket.end();
  });
}

/** What a strict receiver makes of bytes; `rest` are those of a frame that is not whole. */
export function strictMessages(bytes: Buffer): Taken & { readonly rest: number } {
  const taken: Taken = { messages: [], violations: [] };
  const rest = frames(bytes, taken).length;
  return { ...taken, rest };
}

const MAX_LENGTH_DIGITS = 7;

/** Takes whole frames off the front (RFC 5425, section 4.3); what is left waits for more. */
function frames(bytes: Buffer, { messages, violations }: Taken): Buffer {
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const length = bytes.toString("latin1", at, space < 0 ? bytes.length : space);
    if (!/^[1-9]\d*$/.test(length) || length.length > MAX_LENGTH_DIGITS) {
      violations.push("a frame does not begin with its length");
      return Buffer.alloc(0);
    }
    const end = space + 1 + Number(length);
    if (space < 0 || end > bytes.length) break;
    const message = parseMessage(bytes.subarray(space + 1, end));
    if (message === undefined) violations.push("a frame is no message of RFC 5424");
    else messages.push(message);
    at = end;
  }
  return bytes.subarray(at);
}

const HEADER =
  /^<(0|[1-9]\d{0,2})>1 (-|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) \[([!#-<>-\\^-~]{1,32})((?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\.)*")*)\](?: |$)/su;
const PARAMETER = / ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\.)*)"/gsu;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function parseMessage(bytes: Uint8Array): StrictMessage | undefined {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return undefined;
  }
  const match = HEADER.exec(text);
  if (match === null || Number(match[1]) > 191) return undefined;
  const [whole, priority, time, hostname, appName, procId, msgId, sdId, list] = match;
  const parameters = [...(list ?? "").matchAll(PARAMETER)].map(([, name, value]) => [
    name,
    value?.replaceAll(/\\(["\\\]])/g, "$1"),
  ]);
  return {
    priority: Number(priority),
    time: time ?? "",
    hostname: hostname ?? "",
    appName: appName ?? "",
    procId: procId ?? "",
    msgId: msgId ?? "",
    sdId: sdId ?? "",
    parameters: Object.fromEntries(parameters) as Record<string, string>,
    payload: text.slice(whole.length),
  };
}
