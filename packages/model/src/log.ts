import { boundText, neutralise } from "./neutralise.ts";

/** Values of a log line. Never payload: no argument, result, token, or text of a caller. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** Where diagnostics go. Messages are constant sentences; what varies is in the fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

const MAX_VALUE_BYTES = 512;

function quote(value: string | number | boolean): string {
  if (typeof value !== "string") return String(value);
  const text = boundText(neutralise(value.slice(0, 2 * MAX_VALUE_BYTES)), MAX_VALUE_BYTES);
  return /^[\w./:@+-]+$/.test(text) ? text : `"${text.replaceAll('"', "\\u{22}")}"`;
}

function line(level: string, component: string, message: string, fields: LogFields): string {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${quote(value)}`);
  return `${new Date().toISOString()} ${level} ${component}: ${quote(message).replace(/^"|"$/g, "")}${pairs.join("")}\n`;
}

/**
 * One logfmt-like line per message on standard error, neutralised, values cut at 512 bytes. Never on standard output:
 * in a STDIO server that belongs to JSON-RPC. `debug` is silent unless `verbose`.
 */
export function stderrLogger(component: string, verbose = false): Logger {
  const write = (level: string, message: string, fields: LogFields = {}): void => {
    process.stderr.write(line(level, component, message, fields));
  };
  return {
    debug: (message, fields) => {
      if (verbose) write("debug", message, fields);
    },
    info: (message, fields) => write("info", message, fields),
    warn: (message, fields) => write("warn", message, fields),
    error: (message, fields) => write("error", message, fields),
  };
}

/** Says nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
