import type { LoginSummary } from "@countersign/identity/login";
import { shown, table } from "./terminal.ts";

const BINDINGS: Readonly<Record<LoginSummary["binding"], string>> = {
  dpop: "access token bound to the login key (DPoP)",
  id_token_cnf: "ID token that names the login key (cnf)",
  nonce: "ID token whose nonce commits to the login key (legacy)",
  none: "none: the login has ended",
};

/** A login as lines of two columns. Issuer, subject and audiences are the identity provider's text. */
export function summaryLines(summary: LoginSummary): string[] {
  const { audiences, key } = summary;
  return table([
    ["human", `${shown(summary.subject)} of ${shown(summary.issuer)}`],
    ["client", shown(summary.clientId)],
    ["assurance", assuranceText(summary)],
    ["binding", BINDINGS[summary.binding]],
    ["audiences", audiences.length === 0 ? "none of its own" : shown(audiences.join(" "))],
    ["expires", expiry(summary)],
    [
      "key",
      key.place === "keychain" ? `in the keychain (${key.tool})` : "in the login file (0600)",
    ],
  ]);
}

function assuranceText({ assurance: { process, agent } }: LoginSummary): string {
  return agent === undefined
    ? `${process}; agents cannot sign calls with it`
    : `${process}; ${agent} through an instrumented agent`;
}

function expiry({ expiresAt, renewable, ended }: LoginSummary): string {
  if (ended) return "ended; run countersign login";
  const at = expiresAt ?? "no token yet";
  return renewable ? `${at}, renewed while in use` : at;
}

/** Said by `login` and `whoami`: such a token works on this machine only. */
export function personalClaimsNote({ personalClaims }: LoginSummary): string | undefined {
  if (personalClaims.length === 0) return undefined;
  return (
    `countersign: a token of this login has personal claims (${personalClaims.join(", ")}): it will not be put into _meta, ` +
    "so agents cannot sign calls with it. Have the client registered for scope openid alone."
  );
}
