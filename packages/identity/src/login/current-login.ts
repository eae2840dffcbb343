import { createLoginStore, type StoreOptions } from "./login-store.ts";
import { type LoginSummary, summaryOf } from "./login-summary.ts";

/** The login on this machine, from what is kept: nobody is asked. `undefined`: nobody is logged in. Rejects `CONFIG_INVALID`. */
export async function currentLogin(options: StoreOptions = {}): Promise<LoginSummary | undefined> {
  const stored = await createLoginStore(options).read();
  return stored === undefined ? undefined : summaryOf(stored, Date.now());
}
