import { join } from "node:path";
import type { LoginStep, LoginSummary } from "@countersign/identity/login";
import { CliError, EXIT } from "../exit.ts";
import type { Child, Children } from "./children.ts";

/** Who logs in, where, and where the login is kept. */
export interface LoginOptions {
  readonly demo: string;
  readonly human: string;
  readonly issuer: string;
  /** The human's own state directory. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What `countersign login --json` prints, a line each. */
type LoginLine = LoginStep | ({ readonly kind: "login" } & LoginSummary);

/** The client that `countersign login` is to the demonstration's identity provider, and the servers it will be used for. */
const CLIENT_ID = "countersign-cli";
const AUDIENCES = ["urn:mcp:tickets", "urn:mcp:files"];

/**
 * `countersign login` for one human, as a person would run it; only the browser is a program that fills the forms. Rejects with
 * `EXIT.unavailable` and the last words of whichever failed.
 */
export async function logIn(children: Children, options: LoginOptions): Promise<LoginSummary> {
  const { demo, human, issuer, directory, env } = options;
  const login = children.start({
    name: `login-${human}`,
    args: [process.argv[1] ?? "", "login", ...loginArguments(issuer)],
    cwd: demo,
    env: { ...env, COUNTERSIGN_STATE_DIR: directory },
  });
  for await (const line of login.lines) {
    const said = JSON.parse(line) as LoginLine;
    if (said.kind === "login") return said;
    if (said.kind !== "address") continue;
    const browser = children.start({
      name: `browser-${human}`,
      args: [join(demo, "sign-in.ts")],
      cwd: demo,
      env,
      input: JSON.stringify({ issuer, authorizationUrl: said.url, user: human }),
    });
    if ((await browser.exited) !== 0) return failed(browser, human);
  }
  return failed(login, human);
}

function loginArguments(issuer: string): string[] {
  const where = ["--issuer", issuer, "--client-id", CLIENT_ID];
  // The login ends with the run: it has no business in a person's keychain.
  const how = ["--no-browser", "--no-keychain", "--json"];
  return [...where, ...AUDIENCES.flatMap((audience) => ["--audience", audience]), ...how];
}

function failed(child: Child, human: string): never {
  throw new CliError(
    EXIT.unavailable,
    [`${human} could not log in:`, ...child.lastWords().map((words) => `  ${words}`)].join("\n"),
  );
}
