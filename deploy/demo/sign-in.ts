/**
 * A human at a browser, scripted: follows an authorization or device address, fills the forms, agrees, and ends where the browser
 * would end. It knows HTML forms and cookies, nothing of OAuth. As a program it reads one JSON line
 * `{issuer, authorizationUrl, user}` from standard input.
 */
import { realpathSync } from "node:fs";
import { text } from "node:stream/consumers";
import { DEMO_USERS, type IdpUser } from "./idp-people.ts";

/** Who signs in, where. */
export interface SignInOptions {
  readonly issuer: string;
  /** The address a browser would open: of the authorization endpoint, or a device's `verification_uri_complete`. */
  readonly authorizationUrl: string;
  /** A login of the demonstration, or somebody else. */
  readonly user: string | Pick<IdpUser, "login" | "password">;
  /** Calls the client's redirect address too, as a browser does; true when absent. */
  readonly follow?: boolean;
}

/** Where the browser ended. */
export interface SignInResult {
  /** The client's redirect address with its parameters; absent after a device login. */
  readonly redirectUrl?: string;
}

const MAX_STEPS = 16;
const TIMEOUT_MS = 10_000;

interface Form {
  readonly action: string;
  readonly fields: URLSearchParams;
}

/** Signs a human in. Rejects when the provider refuses, with the step and status, never with what was typed. */
export async function signIn(options: SignInOptions): Promise<SignInResult> {
  const browser = new Browser(options.issuer);
  const person = personOf(options.user);
  let page = await browser.get(options.authorizationUrl);
  let typed = false;
  for (let step = 0; step < MAX_STEPS; step += 1) {
    if (page.redirectUrl !== undefined) {
      if (options.follow ?? true) await visit(page.redirectUrl);
      return { redirectUrl: page.redirectUrl };
    }
    const form = formOf(page.html, page.url);
    if (form === undefined) {
      if (page.status === 200) return {};
      throw new Error(`sign-in: the provider answered ${page.status}`);
    }
    if (form.fields.has("password")) {
      if (typed) throw new Error("sign-in: the provider refused login and password");
      form.fields.set("login", person.login);
      form.fields.set("password", person.password);
      typed = true;
    }
    page = await browser.post(form);
  }
  throw new Error("sign-in: too many steps");
}

interface Page {
  readonly url: string;
  readonly status: number;
  readonly html: string;
  /** Set when the provider sent the browser away. */
  readonly redirectUrl?: string;
}

class Browser {
  readonly #origin: string;
  readonly #cookies = new Map<string, string>();

  constructor(issuer: string) {
    this.#origin = new URL(issuer).origin;
  }

  get(url: string): Promise<Page> {
    return this.#load(url, { method: "GET" });
  }

  post({ action, fields }: Form): Promise<Page> {
    return this.#load(action, { method: "POST", body: fields });
  }

  async #load(first: string, request: RequestInit): Promise<Page> {
    let url = first;
    let init = request;
    for (let hop = 0; hop < MAX_STEPS; hop += 1) {
      if (new URL(url).origin !== this.#origin) return leaving(url);
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const response = await fetch(url, {
        ...init,
        headers: { cookie, accept: "text/html" },
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      this.#remember(response.headers.getSetCookie());
      const location = response.headers.get("location");
      if (location === null) return { url, status: response.status, html: await response.text() };
      await response.body?.cancel();
      url = new URL(location, url).href;
      init = { method: "GET" };
    }
    throw new Error("sign-in: too many redirects");
  }

  #remember(lines: readonly string[]): void {
    for (const line of lines) {
      const [pair = ""] = line.split(";");
      const name = pair.slice(0, pair.indexOf("="));
      const value = pair.slice(pair.indexOf("=") + 1);
      if (value === "") this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
  }
}

function leaving(redirectUrl: string): Page {
  return { url: redirectUrl, status: 302, html: "", redirectUrl };
}

async function visit(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  await response.body?.cancel();
}

/** The first form of a page, with the values that it comes with. */
function formOf(html: string, url: string): Form | undefined {
  const form = /<form\b([^>]*)>([\s\S]*?)<\/form>/.exec(html);
  if (form === null) return undefined;
  const fields = new URLSearchParams();
  for (const [, attributes = ""] of (form[2] ?? "").matchAll(/<input\b([^>]*)>/g)) {
    const name = attribute(attributes, "name");
    if (name !== undefined) fields.set(name, attribute(attributes, "value") ?? "");
  }
  return { action: new URL(attribute(form[1] ?? "", "action") ?? "", url).href, fields };
}

function attribute(attributes: string, name: string): string | undefined {
  const value = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1];
  return value?.replaceAll("&amp;", "&");
}

function personOf(user: SignInOptions["user"]): Pick<IdpUser, "login" | "password"> {
  const person = typeof user === "string" ? DEMO_USERS.find(({ login }) => login === user) : user;
  if (person === undefined) throw new Error("sign-in: nobody of the demonstration has this login");
  return person;
}

const program = process.argv[1];
if (program !== undefined && realpathSync(program) === import.meta.filename) {
  await signIn(JSON.parse(await text(process.stdin)) as SignInOptions);
}
