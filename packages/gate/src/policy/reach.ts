import { type Assurance, assuranceAtLeast } from "@countersign/model";
import type { PolicyDocument } from "./document-shape.ts";
import type { Report } from "./report.ts";

const FIX =
  "add clients (for logins) or audience (for bearer tokens) to an issuer of identity.issuers";

/** Whether some token could be accepted: an issuer says for whom. */
export function isProvable({ identity }: PolicyDocument): boolean {
  const issuers = (identity as Partial<PolicyDocument["identity"]> | undefined)?.issuers;
  if (!Array.isArray(issuers)) return false;
  return issuers.some((issuer) => issuer?.clients !== undefined || issuer?.audience !== undefined);
}

/** A floor that nothing configured can reach denies every call: better said when the policy is read. */
export function isReachable(minimum: Assurance, provable: boolean): boolean {
  return provable || !assuranceAtLeast(minimum, "bearer");
}

/** What is wrong with such a floor, and what to do. */
export function unreachable(minimum: Assurance): readonly [message: string, fix: string] {
  return [`${minimum} can be reached by nobody: no token of any issuer is accepted here`, FIX];
}

/** `identity.minimum` and `identity.process`. */
export function checkReach(document: PolicyDocument, provable: boolean, report: Report): void {
  if (!report.clean(["identity"])) return;
  const { minimum, process: helper } = document.identity;
  if (!isReachable(minimum, provable)) report.add(["identity", "minimum"], ...unreachable(minimum));
  if (helper !== undefined && !provable)
    report.add(
      ["identity", "process"],
      "gives the login of an issuer, but no token of any issuer is accepted here",
      FIX,
    );
}
