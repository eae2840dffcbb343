import { CountersignError } from "@countersign/model";
import type { ConfigFault } from "@countersign/pipeline";

/** A setting whose value cannot work, found when the configuration is checked, at the start, or when a file changed. */
export class SettingError extends CountersignError {
  /** Without the value. */
  readonly fault: ConfigFault;

  /** @param setting path in the component's settings: `tls.cert` */
  constructor(setting: string, message: string, fix: string) {
    super("CONFIG_INVALID", `${setting} ${message}; ${fix}`);
    this.fault = { path: setting.split("."), message, fix };
  }
}

/** What `read` finds wrong, as a list for a `check`. */
export function faultsOf(read: () => unknown): readonly ConfigFault[] {
  try {
    read();
    return [];
  } catch (error) {
    if (error instanceof SettingError) return [error.fault];
    throw error;
  }
}
