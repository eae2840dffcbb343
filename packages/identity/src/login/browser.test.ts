import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mayOpenBrowser, openBrowser, openerOf } from "./browser.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "browser-"));
});
afterEach(() => rm(home, { recursive: true, force: true }));

const PAGE = "file:///tmp/a%20b/$(id)`id`;x'&/login.html";

async function install(program: string, exitCode: number): Promise<void> {
  const text = `#!${process.execPath}
require("node:fs").writeFileSync(process.env.HOME + "/seen", JSON.stringify({ args: process.argv.slice(2), env: process.env }));
process.exit(${exitCode});
`;
  await writeFile(join(home, program), text);
  await chmod(join(home, program), 0o755);
}

const env = (): NodeJS.ProcessEnv => ({
  PATH: home,
  HOME: home,
  DISPLAY: ":0",
  XDG_RUNTIME_DIR: "/run/x",
  LC_ALL: "C",
  GITHUB_TOKEN: "kanarienvogel",
  COUNTERSIGN_EXEC_INFO: "kanarienvogel",
  NODE_OPTIONS: "",
});

test.each([
  ["linux", "xdg-open"],
  ["darwin", "open"],
] as const)(
  "on %s, %s gets the page as one argument, and no token of the environment",
  async (platform, program) => {
    await install(program, 0);
    expect(await openBrowser(PAGE, { env: env(), platform })).toBe(true);
    const seen = JSON.parse(await readFile(join(home, "seen"), "utf8")) as {
      args: string[];
      env: Record<string, string>;
    };
    expect(seen.args).toEqual([PAGE]);
    expect(seen.env).toMatchObject({ DISPLAY: ":0", XDG_RUNTIME_DIR: "/run/x", LC_ALL: "C" });
    expect(JSON.stringify(seen.env)).not.toContain("kanarienvogel");
    expect(seen.env).not.toHaveProperty("NODE_OPTIONS");
  },
);

test("an opener that is not there, or fails, is noticed", async () => {
  const surroundings = { env: env(), platform: "linux" } as const;
  expect(await openBrowser(PAGE, surroundings)).toBe(false);
  await install("xdg-open", 3);
  expect(await openBrowser(PAGE, surroundings)).toBe(false);
});

test("no other address than that of a file is ever an argument", async () => {
  await install("xdg-open", 0);
  for (const address of ["https://idp.example/?state=s", "http://127.0.0.1/", "HTTPS://x", "-x"]) {
    expect(await openBrowser(address, { env: env(), platform: "linux" })).toBe(false);
  }
  await expect(readFile(join(home, "seen"))).rejects.toThrow("ENOENT");
});

test.each([
  [{ SystemRoot: "D:\\WinNT" }, "D:\\WinNT\\System32\\rundll32.exe"],
  [{ SYSTEMROOT: "C:\\Windows" }, "C:\\Windows\\System32\\rundll32.exe"],
  [{ SystemRoot: "here" }, "C:\\Windows\\System32\\rundll32.exe"],
  [{}, "C:\\Windows\\System32\\rundll32.exe"],
])("on Windows the program is that of the system (%j)", (said, program) => {
  const opener = openerOf({ env: said, platform: "win32" });
  expect(opener).toEqual([program, "url.dll,FileProtocolHandler"]);
});

test("without a display no browser is started on Linux: it could only be one in this terminal", () => {
  expect(mayOpenBrowser({ env: {}, platform: "linux" })).toBe(false);
  expect(mayOpenBrowser({ env: { WAYLAND_DISPLAY: "wayland-0" }, platform: "linux" })).toBe(true);
  expect(mayOpenBrowser({ env: {}, platform: "darwin" })).toBe(true);
});
