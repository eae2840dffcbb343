export { currentLogin } from "./current-login.ts";
export type { DevicePrompt } from "./device-flow.ts";
export {
  type CredentialRequest,
  type ExecCredential,
  issueCredential,
} from "./issue-credential.ts";
export type { StoreOptions } from "./login-store.ts";
export type { LoginSummary } from "./login-summary.ts";
export { login, type LoginOptions, type LoginStep } from "./login.ts";
export { logout, type LogoutResult } from "./logout.ts";
export type { ProviderOptions } from "./provider.ts";
