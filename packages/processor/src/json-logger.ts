import {
  boundText,
  type LogFields,
  type Logger,
  neutralise,
  stderrLogger,
} from "@countersign/model";

const MAX_VALUE_BYTES = 512;

/**
 * One JSON object per message on standard error: `time`, `level`, `component`, `message`, `fields`. Values are neutralised and
 * cut at 512 bytes, as in the lines for people. `debug` is silent.
 */
function jsonLogger(
  component: string,
  write: (line: string) => void = (line) => void process.stderr.write(line),
): Logger {
  const say =
    (level: string) =>
    (message: string, fields: LogFields = {}): void => {
      const time = new Date().toISOString();
      const shown = Object.fromEntries(
        Object.entries(fields).map(([key, value]) => [key, plain(value)]),
      );
      const some = Object.keys(shown).length === 0 ? {} : { fields: shown };
      write(`${JSON.stringify({ time, level, component, message: plain(message), ...some })}\n`);
    };
  return { debug: () => undefined, info: say("info"), warn: say("warn"), error: say("error") };
}

function plain(value: string | number | boolean): string | number | boolean {
  if (typeof value !== "string") return value;
  return boundText(neutralise(value.slice(0, 2 * MAX_VALUE_BYTES)), MAX_VALUE_BYTES);
}

/** The loggers that `COUNTERSIGN_LOG_FORMAT` asks for: `json`, or lines for people. */
export function loggersOf(
  env: Readonly<Record<string, string | undefined>>,
): (component: string) => Logger {
  return env["COUNTERSIGN_LOG_FORMAT"] === "json"
    ? (component) => jsonLogger(component)
    : (component) => stderrLogger(component);
}
