import { cefFormat } from "./cef.ts";
import { ecsFormat } from "./ecs.ts";
import type { Format } from "./format.ts";
import { leefFormat } from "./leef.ts";
import { nativeFormat } from "./native.ts";
import { ocsfFormat } from "./ocsf.ts";

/** Names of formats, in the order of the documentation. */
export const FORMAT_NAMES = ["native", "ocsf", "ecs", "cef", "leef"] as const;

/** Name of a format, as configurations have it. */
export type FormatName = (typeof FORMAT_NAMES)[number];

/** THE list of formats. A new one is one file, its name above, and its line here. */
export const FORMATS: Readonly<Record<FormatName, Format>> = {
  native: nativeFormat,
  ocsf: ocsfFormat,
  ecs: ecsFormat,
  cef: cefFormat,
  leef: leefFormat,
};
