import { createHash } from "node:crypto";

/** A page and the headers it is sent with. */
export interface LandingPage {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
}

const STYLE =
  "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;color-scheme:light dark}";

/** Written out whole, once: nothing of a request ever gets into it. */
function page(title: string, text: string): LandingPage {
  const hash = createHash("sha256").update(STYLE).digest("base64");
  return {
    html: `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Countersign: ${title}</title><style>${STYLE}</style></head>
<body><h1>${title}</h1><p>${text}</p></body>
</html>
`,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      "cache-control": "no-store",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "cross-origin-opener-policy": "same-origin",
      connection: "close",
    },
  };
}

/** After a login. The terminal knows how it ends; this page only knows that the answer came. */
export const ANSWERED: LandingPage = page(
  "Back to the terminal",
  "You can close this page. The terminal says whether you are logged in.",
);

/** After the identity provider said no. */
export const REFUSED: LandingPage = page(
  "Not logged in",
  "The identity provider refused the login. You can close this page; the terminal says why.",
);

/** To everybody who does not bring the answer that is waited for. */
export const STRANGER: LandingPage = page(
  "Nothing here",
  "This address waits for the answer to one login, and this is not it.",
);
