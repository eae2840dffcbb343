import { errorCode } from "@countersign/model";

const FRAME = /^\s+at .*?([\w.-]+\.[cm]?[jt]s:\d+)/m;
const NAME = /^[A-Za-z0-9_]{1,64}$/;

/**
 * What a log line may say of a failure. Messages of ours never hold payload; those of others may (a `SyntaxError` of `JSON.parse` quotes
 * its text), so of them there are name, code and place.
 */
export function saidOf(error: unknown): string {
  if (!(error instanceof Error)) return "not an error";
  if (errorCode(error) !== undefined) return error.message;
  const { code } = error as { code?: unknown };
  const parts = [error.name, code].filter((one) => typeof one === "string" && NAME.test(one));
  const place = FRAME.exec(
    error.stack?.slice(error.stack.indexOf(error.message) + error.message.length) ?? "",
  )?.[1];
  return place === undefined ? parts.join(" ") : `${parts.join(" ")} at ${place}`;
}
