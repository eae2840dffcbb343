import type { FormatName } from "../../formats/formats.ts";
import type { HttpSinkConfig } from "../http-sink.ts";

/** Settings, validated, with defaults. */
export interface SplunkHecConfig extends HttpSinkConfig {
  readonly token: string;
  readonly index?: string;
  readonly source?: string;
  readonly sourcetype?: string;
  readonly format: FormatName;
  readonly acknowledge: boolean;
  readonly acknowledge_timeout: string;
  readonly max_body: string;
  readonly max_events: number;
}
