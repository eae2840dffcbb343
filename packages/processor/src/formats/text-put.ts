import type { TextFieldName } from "./text-fields.ts";

/** Takes a field; one whose value is `undefined` or empty is not there. */
export type Put = (name: TextFieldName, value: string | number | undefined) => void;

/** `00-<trace>-<span>-<flags>` */
export function putTrace(traceparent: string | undefined, put: Put): void {
  if (traceparent === undefined) return;
  put("traceId", traceparent.slice(3, 35));
  put("spanId", traceparent.slice(36, 52));
  put("traceFlags", traceparent.slice(53));
}
