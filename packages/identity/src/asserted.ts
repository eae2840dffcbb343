import { ASSERTED_ISSUER, type Assurance } from "@countersign/model";
import type { IdentityResult, ResolverStep } from "./resolver.ts";

const MAX_SUBJECT_BYTES = 256;

/**
 * Somebody said so: `COUNTERSIGN_ASSERTED_HUMAN`, and nothing else. Whoever spawns the process writes the environment,
 * so this is heard only where the policy's own minimum is `asserted` (or `none`); elsewhere the variable is not read.
 */
export function assertedResolver(minimum: Assurance, env: NodeJS.ProcessEnv): ResolverStep {
  const result = asserted(minimum, env);
  return () => result;
}

function asserted(minimum: Assurance, env: NodeJS.ProcessEnv): IdentityResult | undefined {
  if (minimum !== "asserted" && minimum !== "none") return undefined;
  const subject = env["COUNTERSIGN_ASSERTED_HUMAN"];
  if (subject === undefined || subject === "") return undefined;
  if (Buffer.byteLength(subject) > MAX_SUBJECT_BYTES || !subject.isWellFormed()) {
    return { kind: "denied", reason: "identity_invalid" };
  }
  return {
    kind: "human",
    human: { issuer: ASSERTED_ISSUER, subject, assurance: "asserted", method: "asserted" },
  };
}
