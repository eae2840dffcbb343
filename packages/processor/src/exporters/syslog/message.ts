// A syslog message (RFC 5424) as a frame of RFC 5425: `LEN SP MSG`, LEN in bytes.
import { kindOf, type SealedEvent } from "@countersign/model";

/** What is the same in all messages of an exporter. */
export interface MessageOptions {
  /** 0 to 23. */
  readonly facility: number;
  readonly hostname: string;
  readonly appName: string;
  /** Private enterprise number in the SD-ID. */
  readonly enterpriseNumber: number;
  /** A byte order mark before the payload says that it is UTF-8 (RFC 5424, section 6.4). */
  readonly bom: boolean;
}

const BOM = Buffer.from("efbbbf", "hex");
const SPACE = Buffer.from(" ");
const NIL = "-";

/** RFC 5424, table 2. */
const SEVERITY = { error: 3, warning: 4, notice: 5, informational: 6 } as const;

/** The message of an event around the line that a format made of it. */
export function syslogMessage(
  event: SealedEvent,
  line: Uint8Array,
  options: MessageOptions,
): Uint8Array {
  const header = Buffer.from(`${headerOf(event, options)} ${elementOf(event, options)}`, "utf8");
  return Buffer.concat([header, SPACE, ...(options.bom ? [BOM] : []), line]);
}

/** One frame. */
export function octetCounted(message: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${message.length} `), message]);
}

function headerOf(sealed: SealedEvent, options: MessageOptions): string {
  const { event } = sealed;
  const priority = options.facility * 8 + severityOf(sealed);
  const time = timestamp(event.time);
  const { emitter } = placeOf(sealed);
  const { hostname, appName } = options;
  const kind = kindOf(event.type) ?? NIL;
  return `<${priority}>1 ${time} ${hostname} ${appName} ${token(emitter, 128)} ${kind}`;
}

/** Sealed times have exactly this form (contract, section 1), which is RFC 5424's, too. A time that is none is no time. */
function timestamp(time: string): string {
  return /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/.test(time) ? time : NIL;
}

interface Place {
  readonly emitter?: string;
  readonly epoch?: string;
  readonly seq?: number;
}

function placeOf({ event }: SealedEvent): Place {
  const { chain } = event.data as { chain?: Place };
  return chain ?? {};
}

/**
 * What should be looked at is a warning: a call that ran although its verdict was not `allow`, what is missing or withheld, findings.
 * A denial that stopped its call is the system at work.
 */
function severityOf({ event }: SealedEvent): number {
  const { decision, effect } = event.data as { decision?: string; effect?: string };
  const kind = kindOf(event.type) ?? "";
  if (WARNINGS.has(kind)) return SEVERITY.warning;
  if (kind !== "decision" || decision === "allow") return SEVERITY.informational;
  if (decision === "error") return SEVERITY.error;
  return effect === "block" ? SEVERITY.notice : SEVERITY.warning;
}

const WARNINGS: ReadonlySet<string> = new Set(["finding", "lost", "withheld"]);

/** Printable ASCII without a space, else nothing: header fields have no escape. */
function token(text: string | undefined, maxLength: number): string {
  return text !== undefined && text.length <= maxLength && /^[!-~]+$/.test(text) ? text : NIL;
}

/** Longest value of a parameter, characters; ours have 64 at most. */
const MAX_VALUE = 256;

function elementOf(sealed: SealedEvent, { enterpriseNumber }: MessageOptions): string {
  const { emitter, epoch, seq } = placeOf(sealed);
  const parameters: readonly (readonly [string, string | number | undefined])[] = [
    ["id", sealed.event.id],
    ["hash", sealed.hash],
    ["emitter", emitter],
    ["epoch", epoch],
    ["seq", seq],
  ];
  const written = parameters.map(([name, value]) =>
    value === undefined ? "" : ` ${name}="${parameterValue(String(value))}"`,
  );
  return `[countersign@${enterpriseNumber}${written.join("")}]`;
}

/** RFC 5424, section 6.3.3: these three are escaped and nothing else. Control characters have no place in what identifies. */
function parameterValue(text: string): string {
  return text
    .slice(0, MAX_VALUE)
    .toWellFormed()
    .replaceAll(/\p{Cc}/gu, "\u{FFFD}")
    .replaceAll(/["\\\]]/g, "\\$&");
}
