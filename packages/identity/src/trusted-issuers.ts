import { decodeJwt, type JWTPayload, errors as joseErrors, jwtVerify } from "jose";
import type { IssuerConfig } from "./identity-config.ts";
import { createKeySet, type KeySet, type KeySetOptions, type Keys } from "./key-set.ts";

const CLOCK_SKEW_SECONDS = 60;

/** An issuer of the policy, and its keys. */
export interface TrustedIssuer {
  readonly config: IssuerConfig;
  readonly keys: KeySet;
}

/** A token whose signature, algorithm, issuer and dates hold. Whom it is for and what kind it is: the caller looks. */
export interface SignedToken {
  readonly payload: JWTPayload;
  /** Header `typ` in lower case, without `application/`; `jwt` when there is none. */
  readonly type: string;
  /** The key set that it was verified with. */
  readonly keys: Keys;
}

/** The issuers that a policy believes. Every token of every kind is verified here and nowhere else. */
export interface TrustedIssuers {
  /** Whom the token says it is of. Unverified: good for choosing whose keys to try, for nothing else. */
  claimedBy(token: string): TrustedIssuer | undefined;
  /** `undefined`: not to be believed. Rejects with `UNAVAILABLE` when the issuer cannot be asked for its keys. */
  verify(token: string, issuer: TrustedIssuer): Promise<SignedToken | undefined>;
}

class PinnedIssuers implements TrustedIssuers {
  readonly #issuers = new Map<string, TrustedIssuer>();
  readonly #clock: () => number;

  constructor(configs: readonly IssuerConfig[], options: KeySetOptions) {
    for (const config of configs) {
      this.#issuers.set(config.issuer, { config, keys: createKeySet(config, options) });
    }
    this.#clock = options.clock ?? Date.now;
  }

  claimedBy(token: string): TrustedIssuer | undefined {
    try {
      return this.#issuers.get(decodeJwt(token).iss ?? "");
    } catch {
      return undefined;
    }
  }

  /** A token whose key is not known yet may be signed by a key that is new: the issuer is asked once more, then it is no. */
  async verify(token: string, issuer: TrustedIssuer): Promise<SignedToken | undefined> {
    const keys = (await issuer.keys.current()) as Keys;
    try {
      return await this.#signed(token, issuer.config, keys);
    } catch (error) {
      if (!(error instanceof joseErrors.JWKSNoMatchingKey)) return undefined;
      const fresh = await issuer.keys.current(keys);
      if (fresh === undefined) return undefined;
      return this.#signed(token, issuer.config, fresh).catch(() => undefined);
    }
  }

  async #signed(token: string, config: IssuerConfig, keys: Keys): Promise<SignedToken> {
    const { payload, protectedHeader } = await jwtVerify(token, (header) => keys.find(header), {
      algorithms: [...config.algorithms],
      issuer: config.issuer,
      clockTolerance: CLOCK_SKEW_SECONDS,
      currentDate: new Date(this.#clock()),
      requiredClaims: ["iss", "sub", "aud", "exp"],
    });
    const type = (protectedHeader.typ ?? "jwt").toLowerCase().replace(/^application\//, "");
    return { payload, type, keys };
  }
}

/** Nothing is fetched before the first token needs it. */
export function createTrustedIssuers(
  configs: readonly IssuerConfig[],
  options: KeySetOptions = {},
): TrustedIssuers {
  return new PinnedIssuers(configs, options);
}
