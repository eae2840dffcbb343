/** One thing that was looked at. `fix` says what to do about it. */
export interface Finding {
  readonly id:
    | "node"
    | "sdk"
    | "journal"
    | "policy"
    | "identity"
    | "checker"
    | "clock"
    | "processor";
  readonly level: "ok" | "warn" | "fail";
  readonly message: string;
  readonly fix?: string;
}
