/** The pages that a human sees: plain HTML, no script, so a browser and a program that fills forms get along with them alike. */

/** Text for HTML, in elements and in quoted attributes. */
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:22rem;margin:12vh auto;padding:0 1rem;color:#1b1f24}
label{display:block;margin-top:1rem}input{width:100%;box-sizing:border-box;font:inherit;padding:.5rem}
button{font:inherit;padding:.5rem 1rem;margin-top:1rem}.wrong{color:#a40e26}code{font-size:1.5rem}`;

function page(title: string, content: string): string {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style></head>
<body><h1>${title}</h1>
${content}
</body>
</html>
`;
}

/** The password form. `refused`: the last attempt was not right. */
export function loginPage(uid: string, clientName: string, refused: boolean): string {
  return page(
    "Sign in",
    `${refused ? '<p class="wrong" role="alert">Login or password is wrong.</p>' : ""}
<p>to continue to ${escaped(clientName)}</p>
<form method="post" action="/interaction/${escaped(uid)}/login">
<label>Login <input name="login" autocomplete="username" autofocus required></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button type="submit">Sign in</button>
</form>`,
  );
}

/** One button for yes, one for no. */
export function consentPage(uid: string, clientName: string, scope: string): string {
  return page(
    "Allow access",
    `<p>${escaped(clientName)} asks to act for you (${escaped(scope)}).</p>
<form method="post" action="/interaction/${escaped(uid)}/consent"><button type="submit">Allow</button></form>
<form method="post" action="/interaction/${escaped(uid)}/abort"><button type="submit">Deny</button></form>`,
  );
}

/** Where a human types the code that a device shows. `form` is the provider's own. */
export function deviceCodePage(form: string, wrong: boolean): string {
  return page(
    "Connect a device",
    `${wrong ? '<p class="wrong" role="alert">This code cannot be used.</p>' : "<p>Enter the code that the device shows.</p>"}
${form}
<button type="submit" form="op.deviceInputForm">Continue</button>`,
  );
}

/** The human compares the code. `form` is the provider's own. */
export function deviceConfirmPage(form: string, clientName: string, code: string): string {
  return page(
    "Is this your device?",
    `<p>${escaped(clientName)} shows this code:</p><p><code>${escaped(code)}</code></p>
${form}
<button type="submit" form="op.deviceConfirmForm">Continue</button>
<button type="submit" form="op.deviceConfirmForm" name="abort" value="yes">It is not</button>`,
  );
}

/** The end of a device login. */
export function deviceDonePage(): string {
  return page("You are signed in", "<p>You can close this page.</p>");
}

/** Something went wrong; `error` is an OAuth error code. */
export function errorPage(error: string, description: string): string {
  return page(
    "Sign-in failed",
    `<p><strong>${escaped(error)}</strong> ${escaped(description)}</p>`,
  );
}
