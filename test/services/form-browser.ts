// A human at a browser, scripted: cookies, redirects on one origin, and the forms of Keycloak's login pages.

/** Where the browser ended: on a page, or sent away to another origin. */
export interface BrowserPage {
  readonly url: string;
  readonly html: string;
  readonly left: boolean;
}

const MAX_STEPS = 16;

/** One browser session with one origin. */
export class FormBrowser {
  readonly #origin: string;
  readonly #cookies = new Map<string, string>();

  constructor(issuer: string) {
    this.#origin = new URL(issuer).origin;
  }

  /** Opens an address, and types and agrees to whatever it is asked, until there is no form any more. */
  async signIn(address: string, login: string, password: string): Promise<BrowserPage> {
    let page = await this.#load(address, { method: "GET" });
    for (let step = 0; step < MAX_STEPS && !page.left; step += 1) {
      const form = formOf(page);
      if (form === undefined) return page;
      if (form.fields.has("password")) {
        form.fields.set("username", login);
        form.fields.set("password", password);
      } else {
        form.fields.delete("cancel"); // of a consent page: yes and no are both buttons
      }
      // oxlint-disable-next-line no-await-in-loop -- one page leads to the next
      page = await this.#load(form.action, { method: "POST", body: form.fields });
    }
    return page;
  }

  async #load(first: string, request: RequestInit): Promise<BrowserPage> {
    let url = first;
    let init = request;
    for (let hop = 0; hop < MAX_STEPS; hop += 1) {
      if (new URL(url).origin !== this.#origin) return { url, html: "", left: true };
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      // oxlint-disable-next-line no-await-in-loop -- one redirect after the other
      const response = await fetch(url, { ...init, headers: { cookie }, redirect: "manual" });
      for (const line of response.headers.getSetCookie()) this.#remember(line);
      // oxlint-disable-next-line no-await-in-loop
      const html = await response.text();
      const location = response.headers.get("location");
      if (location === null) return { url, html, left: false };
      url = new URL(location, url).href;
      init = { method: "GET" };
    }
    throw new Error("too many redirects");
  }

  #remember(line: string): void {
    const [pair = ""] = line.split(";");
    const at = pair.indexOf("=");
    this.#cookies.set(pair.slice(0, at), pair.slice(at + 1));
  }
}

interface Form {
  readonly action: string;
  readonly fields: URLSearchParams;
}

function formOf({ html, url }: BrowserPage): Form | undefined {
  const form = /<form\b([^>]*)>([\s\S]*?)<\/form>/.exec(html);
  const action = attribute(form?.[1] ?? "", "action");
  if (form === null || action === undefined) return undefined;
  const fields = new URLSearchParams();
  for (const [, attributes = ""] of (form[2] ?? "").matchAll(/<input\b([^>]*)>/g)) {
    const name = attribute(attributes, "name");
    if (name !== undefined) fields.set(name, attribute(attributes, "value") ?? "");
  }
  return { action: new URL(action, url).href, fields };
}

function attribute(attributes: string, name: string): string | undefined {
  return new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1]?.replaceAll("&amp;", "&");
}
