import type { Format } from "./format.ts";

/** The sealed bytes as they are: SHA-256 of the line (without its newline) is the event's hash. */
export const nativeFormat: Format = {
  version: "native@1",
  shape: "json",
  line: ({ bytes }) => bytes,
};
