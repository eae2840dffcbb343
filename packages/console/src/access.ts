import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { CountersignError } from "@countersign/model";

/** Who may ask. */
export interface AccessOptions {
  /** Address to listen on. */
  readonly host: string;
  /** Host names, without port, that a browser may use besides loopback ones. */
  readonly allowedHosts?: readonly string[] | undefined;
  /** `false`: none, on loopback only. Absent: made at random. */
  readonly token?: string | false | undefined;
}

/** The answer to "may this request go on?". */
type Admittance =
  | { readonly kind: "granted" }
  /** A token came by the address: keep it in a cookie and go to the same address without it. */
  | { readonly kind: "cookie"; readonly setCookie: string; readonly location: string }
  | { readonly kind: "refused"; readonly status: 401 | 403; readonly message: string };

/** Host check and token check of one console. */
export interface Access {
  readonly token: string | undefined;
  admit(request: IncomingMessage, url: URL): Admittance;
}

const TOKEN_MIN_CHARACTERS = 16;
const GRANTED: Admittance = { kind: "granted" };
const WRONG_HOST: Admittance = {
  kind: "refused",
  status: 403,
  message:
    "The Host header names an address that this console does not serve. Use the printed address, or list the host name in the console's configuration.",
};
const NO_TOKEN: Admittance = {
  kind: "refused",
  status: 401,
  message:
    "This console needs its token. Open the address that the service printed when it started, or send `Authorization: Bearer <token>`.",
};

/** Checks the options; throws CONFIG_INVALID for another address than loopback without a token. */
export function createAccess(options: AccessOptions): Access {
  const { token: configured, host } = options;
  if (configured === false && !isLoopback(host)) {
    throw new CountersignError(
      "CONFIG_INVALID",
      "console: an address other than loopback needs a token; remove `token: false` or listen on 127.0.0.1",
    );
  }
  if (typeof configured === "string" && !/^[A-Za-z0-9._~-]{16,256}$/.test(configured)) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `console: \`token\` must be ${TOKEN_MIN_CHARACTERS} to 256 characters of A-Z a-z 0-9 . _ ~ -`,
    );
  }
  const token =
    configured === false ? undefined : (configured ?? randomBytes(32).toString("base64url"));
  return new TokenAccess(token, new Set(options.allowedHosts?.map((name) => name.toLowerCase())));
}

/** Is this a name or address of the loopback interface? */
function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

class TokenAccess implements Access {
  readonly token: string | undefined;
  readonly #hosts: ReadonlySet<string>;

  constructor(token: string | undefined, hosts: ReadonlySet<string>) {
    this.token = token;
    this.#hosts = hosts;
  }

  admit(request: IncomingMessage, url: URL): Admittance {
    // A page of another site can point its own name at 127.0.0.1; the browser then sends that name here.
    if (!this.#hostAllowed(request.headers.host)) return WRONG_HOST;
    if (this.token === undefined) return GRANTED;
    const bearer = /^Bearer ([^\s]+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (bearer !== undefined) return same(bearer, this.token) ? GRANTED : NO_TOKEN;
    const given = url.searchParams.get("token");
    if (given !== null) return same(given, this.token) ? this.#toCookie(request, url) : NO_TOKEN;
    const cookie = cookieOf(request, cookieName(request));
    return cookie !== undefined && same(cookie, session(this.token)) ? GRANTED : NO_TOKEN;
  }

  #toCookie(request: IncomingMessage, url: URL): Admittance {
    url.searchParams.delete("token");
    const value = session(this.token ?? "");
    return {
      kind: "cookie",
      setCookie: `${cookieName(request)}=${value}; Path=/; HttpOnly; SameSite=Strict`,
      location: `${url.pathname}${url.search}`,
    };
  }

  #hostAllowed(header: string | undefined): boolean {
    const name = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::\d{1,5})?$/i.exec(header ?? "");
    const host = (name?.[1] ?? name?.[2])?.toLowerCase();
    return host !== undefined && (isLoopback(host) || this.#hosts.has(host));
  }
}

/** Cookies do not know ports; two consoles of one machine must not overwrite each other's. */
function cookieName(request: IncomingMessage): string {
  return `countersign_console_${request.socket.localPort ?? 0}`;
}

/** What the cookie holds: it opens this console and is of no use as a bearer token. */
function session(token: string): string {
  return createHash("sha256").update(`console cookie\0${token}`).digest("base64url");
}

function same(given: string, wanted: string): boolean {
  return timingSafeEqual(sha256(given), sha256(wanted));
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function cookieOf(request: IncomingMessage, name: string): string | undefined {
  for (const part of (request.headers.cookie ?? "").split(";")) {
    const [key, value] = part.trim().split("=", 2);
    if (key === name) return value;
  }
  return undefined;
}
