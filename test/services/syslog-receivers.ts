// rsyslog and syslog-ng on loopback, as child processes of the test: each writes what it understood, a line of JSON a message.
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Pair } from "../../packages/processor/src/testing/certificates.ts";
import { freePort } from "../free-port.ts";
import { until } from "./kafka-parts.ts";

/** A message as a receiver understood it. */
export interface ParsedMessage {
  readonly pri: string;
  readonly time: string;
  readonly host: string;
  readonly app: string;
  readonly procid: string;
  readonly msgid: string;
  readonly msg: string;
  /** rsyslog: the structured data as text. */
  readonly sd?: string;
  /** syslog-ng: the structured data by element, values unescaped. */
  readonly _SDATA?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** A parameter of our structured data. */
export function parameterOf({ sd, _SDATA }: ParsedMessage, name: string): string | undefined {
  if (sd === undefined) return _SDATA?.["countersign@32473"]?.[name];
  const element = /^\[countersign@32473((?: [a-z]+="(?:[^"\\\]]|\\.)*")*)\]$/su.exec(sd);
  const found = new RegExp(` ${name}="((?:[^"\\\\\\]]|\\\\.)*)"`, "su").exec(element?.[1] ?? "");
  return found?.[1]?.replaceAll(/\\(["\\\]])/g, "$1");
}

/** A receiver that a test can kill and start again: the same port, files and settings in each of its lives. */
export interface SyslogReceiver {
  readonly port: number;
  /** Resolves when it listens. */
  start(): Promise<void>;
  /** Ends it; resolves when its process is gone. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Stops it without ending it, and lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  /** Everything that it wrote in all its lives; a line that is not whole yet is left out. */
  messages(): readonly ParsedMessage[];
  /** What it said of itself. */
  readonly said: string;
}

/** What a receiver shows, and of whom it wants a certificate. Absent: plain TCP. */
export interface ReceiverTls {
  readonly server: Pair;
  readonly ca: string;
  /** CN of the only client that is let in. */
  readonly client: string;
}

/** How a receiver is set up. */
export interface ReceiverOptions {
  readonly program: string;
  readonly directory: string;
  readonly tls?: ReceiverTls;
  /** Longest message, bytes. Absent: the receiver's own default. */
  readonly maxMessageBytes?: number;
  /** rsyslog: queue of its ruleset. syslog-ng: what stands in the log path. */
  readonly path?: string;
  /** More of its global settings. */
  readonly global?: string;
}

const START_MS = 20_000;

/** Makes an rsyslog. */
export async function rsyslog(options: ReceiverOptions): Promise<SyslogReceiver> {
  const { directory, tls, maxMessageBytes, path = "" } = options;
  const port = await freePort();
  const out = join(directory, "rsyslog.jsonl");
  const config = join(directory, "rsyslog.conf");
  mkdirSync(join(directory, "work"), { recursive: true });
  const files = writePems(directory, tls);
  const size = maxMessageBytes === undefined ? "" : `maxMessageSize="${maxMessageBytes}"`;
  const drivers =
    tls === undefined
      ? ""
      : `defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="${files.ca}" defaultNetstreamDriverCertFile="${files.cert}" defaultNetstreamDriverKeyFile="${files.key}"`;
  const stream =
    tls === undefined
      ? ""
      : ` streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer=["${tls.client}"]`;
  writeFileSync(
    config,
    `global(parser.escapeControlCharacterTab="off" workDirectory="${join(directory, "work")}" ${size} ${drivers} ${options.global ?? ""})
module(load="imtcp"${stream})
template(name="parsed" type="list" option.jsonf="on") {
  property(outname="pri" name="pri" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="procid" name="procid" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="sd" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
}
ruleset(name="in" ${path}) { action(type="omfile" file="${out}" template="parsed") }
input(type="imtcp" port="${port}" address="127.0.0.1" ruleset="in")
`,
  );
  const args = ["-n", "-iNONE", "-f", config];
  return new ReceiverProcess({ program: options.program, args, port, out });
}

/** Makes a syslog-ng. */
export async function syslogNg(options: ReceiverOptions): Promise<SyslogReceiver> {
  const { directory, tls, maxMessageBytes, path = "" } = options;
  const port = await freePort();
  const out = join(directory, "syslog-ng.jsonl");
  const config = join(directory, "syslog-ng.conf");
  mkdirSync(directory, { recursive: true });
  const files = writePems(directory, tls);
  const size = maxMessageBytes === undefined ? "" : `log-msg-size(${maxMessageBytes});`;
  const transport =
    tls === undefined
      ? 'transport("tcp")'
      : `transport("tls") tls(key-file("${files.key}") cert-file("${files.cert}") ca-file("${files.ca}") peer-verify(required-trusted) trusted-dn("CN=${tls.client}"))`;
  const members = [
    ["pri", "${PRI}"],
    ["time", "${S_ISODATE}"],
    ["host", "${HOST}"],
    ["app", "${PROGRAM}"],
    ["procid", "${PID}"],
    ["msgid", "${MSGID}"],
    ["msg", "${MSG}"],
  ].map(([name, value]) => `${name}=\\"${value}\\"`);
  writeFileSync(
    config,
    `@version: 3.38
options { keep-hostname(yes); stats-freq(0); ${size} ${options.global ?? ""} };
source s { syslog(ip("127.0.0.1") port(${port}) ${transport}); };
destination d { file("${out}" template("$(format-json ${members.join(" ")} --key .SDATA.countersign@32473.*)\\n")); };
log { source(s); destination(d); ${path} };
`,
  );
  const state = ["-p", join(directory, "pid"), "-R", join(directory, "persist")];
  const args = ["-F", "--no-caps", "-f", config, ...state, "-c", join(directory, "ctl")];
  return new ReceiverProcess({ program: options.program, args, port, out });
}

function writePems(
  directory: string,
  tls: ReceiverTls | undefined,
): { ca: string; cert: string; key: string } {
  const files = {
    ca: join(directory, "receiver-ca.pem"),
    cert: join(directory, "receiver-cert.pem"),
    key: join(directory, "receiver-key.pem"),
  };
  if (tls === undefined) return files;
  writeFileSync(files.ca, tls.ca);
  writeFileSync(files.cert, tls.server.cert);
  writeFileSync(files.key, tls.server.key);
  chmodSync(files.key, 0o600);
  return files;
}

/** A receiver with a configuration of its own; `out` is where it writes. */
export function receiverProcess(of: {
  readonly program: string;
  readonly args: readonly string[];
  readonly port: number;
  readonly out: string;
}): SyslogReceiver {
  return new ReceiverProcess(of);
}

class ReceiverProcess implements SyslogReceiver {
  readonly port: number;
  readonly #program: string;
  readonly #args: readonly string[];
  readonly #out: string;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #said = "";

  constructor(of: { program: string; args: readonly string[]; port: number; out: string }) {
    this.port = of.port;
    this.#program = of.program;
    this.#args = of.args;
    this.#out = of.out;
  }

  get said(): string {
    return this.#said;
  }

  async start(): Promise<void> {
    const child = spawn(this.#program, this.#args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    const hear = (chunk: Buffer): void => void (this.#said += chunk.toString());
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    this.#exited = new Promise((resolve) => {
      child.once("close", () => {
        if (this.#child === child) this.#child = undefined;
        resolve();
      });
    });
    const listens = async (): Promise<boolean> => {
      if (this.#child !== child) throw new Error(`the receiver ended: ${this.#said}`);
      return await answers(this.port);
    };
    await until("the receiver listens", listens, START_MS);
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child?.kill(signal);
  }

  messages(): readonly ParsedMessage[] {
    if (!existsSync(this.#out)) return [];
    const lines = readFileSync(this.#out, "utf8").split("\n").slice(0, -1);
    return lines.flatMap(messageOf);
  }
}

/** A receiver that was killed leaves half a line, and goes on behind it. */
function messageOf(line: string): ParsedMessage[] {
  for (let start = 0; start >= 0; start = line.indexOf('{"', start + 1)) {
    try {
      return [JSON.parse(line.slice(start)) as ParsedMessage];
    } catch {
      // What follows the torn part begins further on.
    }
  }
  return [];
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
