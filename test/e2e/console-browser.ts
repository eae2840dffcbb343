// What the browser tests of the console share: a Chromium, a visit that notices trouble, and names for what is on the page.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import {
  exampleEvents,
  exampleSpans,
  startConsoleStand,
  type ConsoleStand,
} from "@countersign/console/testing";
import type { Browser, Locator, Page } from "playwright-core";

/** Where a Chromium may be: named in the environment, on PATH, or where distributions put it. */
export function findChromium(): string | undefined {
  const named = process.env["COUNTERSIGN_TEST_CHROMIUM"];
  if (named !== undefined && named !== "") return named;
  const names = ["chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"];
  const places = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/bin"];
  return places.flatMap((place) => names.map((name) => join(place, name))).find(existsSync);
}

/** One page in a browser context of its own. */
export interface Visit {
  readonly page: Page;
  /** Everything that must not happen: dialogs, errors, policy violations. */
  readonly trouble: string[];
}

/** Opens the console as a person does: by the printed address. */
export async function visit(
  browser: Browser,
  stand: ConsoleStand,
  options: { dark?: boolean; width?: number; address?: string } = {},
): Promise<Visit> {
  const context = await browser.newContext({
    colorScheme: options.dark === true ? "dark" : "light",
    viewport: { width: options.width ?? 1440, height: 860 },
  });
  const page = await context.newPage();
  const trouble: string[] = [];
  page.on("dialog", (dialog) => {
    trouble.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning")
      trouble.push(`console: ${message.text()}`);
  });
  await page.addInitScript(() => {
    const seen = globalThis as unknown as {
      violations: string[];
      document: {
        addEventListener: (
          name: string,
          then: (event: { violatedDirective: string }) => void,
        ) => void;
      };
    };
    seen.violations = [];
    seen.document.addEventListener("securitypolicyviolation", (event) =>
      seen.violations.push(event.violatedDirective),
    );
  });
  await page.goto(stand.console.url);
  if (options.address !== undefined) await page.goto(`${stand.base}${options.address}`);
  return { page, trouble };
}

/** Directives of the content security policy that were violated. */
export async function violations(page: Page): Promise<string[]> {
  return await page.evaluate(() => (globalThis as unknown as { violations: string[] }).violations);
}

/** The table of decisions. */
export function grid(page: Page): Locator {
  return page.getByRole("grid", { name: "Decisions" });
}

/** The panel of the open decision. */
export function detail(page: Page): Locator {
  return page.getByRole("region", { name: "Decision detail" });
}

/** A console over the example, spans included. */
export async function example(): ReturnType<typeof startConsoleStand> {
  const stand = await startConsoleStand();
  const [traceId, spans] = exampleSpans(Date.now() * 1000);
  stand.traces.set(traceId, spans);
  await stand.put(exampleEvents(stand.chain));
  return stand;
}
