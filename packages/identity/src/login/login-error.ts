import { CountersignError, type ErrorCode } from "@countersign/model";
import * as oauth from "oauth4webapi";
import { withoutAnswer } from "../oauth-error.ts";

const COMPONENT = "identity/login";

/** What each claim of an ID token that does not fit means, in the words of the person who logs in. */
const CLAIMS: Readonly<Record<string, string>> = {
  nonce: "its ID token answers another request (nonce)",
  iss: "its ID token is of another issuer (iss)",
  aud: "its ID token is for another client (aud)",
  azp: "its ID token is for another client (azp)",
  exp: "its ID token has expired",
  nbf: "its ID token is not valid yet",
  sub: "its ID token names no subject",
};

/** An error of the login. */
export function loginError(code: ErrorCode, what: string): CountersignError {
  return new CountersignError(code, `${COMPONENT}: ${what}`);
}

/** What goes on of an error of the protocol: nothing of the answer but a known error code or the name of a claim. */
export function safeError(error: unknown): CountersignError {
  return withoutAnswer(error, (name) => {
    if (name === "temporarily_unavailable" || name === "server_error") {
      return loginError("UNAVAILABLE", `the identity provider cannot be asked: it says ${name}`);
    }
    return name === undefined
      ? unusable(error)
      : loginError("REJECTED", `the identity provider refused: ${name}`);
  });
}

function unusable(error: unknown): CountersignError {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { claim?: unknown } };
  switch (code) {
    case oauth.RESPONSE_BODY_ERROR:
    case oauth.AUTHORIZATION_RESPONSE_ERROR:
    case oauth.WWW_AUTHENTICATE_CHALLENGE:
      return loginError("REJECTED", "the identity provider refused, with an error of its own");
    case oauth.RESPONSE_IS_NOT_JSON:
    case oauth.RESPONSE_IS_NOT_CONFORM:
    case oauth.PARSE_ERROR:
      return loginError(
        "UNAVAILABLE",
        "the identity provider cannot be asked: its answer is not what the protocol says",
      );
    case oauth.JSON_ATTRIBUTE_COMPARISON:
      return loginError(
        "CONFIG_INVALID",
        "the discovery document names another issuer; check --issuer",
      );
    case oauth.JWT_CLAIM_COMPARISON:
    case oauth.JWT_TIMESTAMP_CHECK: {
      const claim = typeof cause?.claim === "string" ? CLAIMS[cause.claim] : undefined;
      return notUsed(claim ?? "a claim of its ID token does not fit");
    }
    case oauth.KEY_SELECTION:
      return notUsed("no published key fits the signature of its ID token");
    default:
      return notUsed("it does not verify, or a part of it is missing");
  }
}

function notUsed(why: string): CountersignError {
  return loginError("REJECTED", `what the identity provider answered is not used: ${why}`);
}
