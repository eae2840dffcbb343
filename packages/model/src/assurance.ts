/** How the human was established, strongest first (contract, section 6). */
export type Assurance = "call_bound" | "token_bound" | "bearer" | "os_user" | "asserted" | "none";

/** All assurances, strongest first. */
export const ASSURANCES: readonly Assurance[] = [
  "call_bound",
  "token_bound",
  "bearer",
  "os_user",
  "asserted",
  "none",
];

/** Whether `have` is as strong as `need` or stronger. A word that is no assurance is never enough. */
export function assuranceAtLeast(have: Assurance, need: Assurance): boolean {
  const haveRank = ASSURANCES.indexOf(have);
  const needRank = ASSURANCES.indexOf(need);
  return haveRank >= 0 && needRank >= 0 && haveRank <= needRank;
}
