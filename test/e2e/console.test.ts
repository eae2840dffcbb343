import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DECISION_FIELDS } from "@countersign/archive/testing";
import { startConsoleStand } from "@countersign/console/testing";
import { chromium, type Browser, type Locator } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { detail, example, findChromium, grid, violations, visit } from "./console-browser.ts";

const executablePath = findChromium();
const mustRun = process.env["CI"] === "true";
if (executablePath === undefined && !mustRun) {
  console.warn(
    "SKIPPED: the console in a browser. No Chromium found: install one or set COUNTERSIGN_TEST_CHROMIUM.",
  );
}

/** What an attacker would put in a name: markup, script, template syntax, and marks that turn the text around. */
const HOSTILE = {
  tool: '<img src=x onerror="alert(1)">',
  agent: '"><script>alert(2)</script>${alert(3)}{{4}}',
  server: "</td></tr><tr><td>javascript:alert(5)",
  subject: "<svg/onload=alert(6)>",
  resource: "a=3Cscript=3Ealert=287=29",
} as const;

describe.skipIf(executablePath === undefined && !mustRun)("the console in a browser", () => {
  let browser: Browser;
  let shots: string;

  beforeAll(async () => {
    if (executablePath === undefined)
      throw new Error("CI needs a Chromium: set COUNTERSIGN_TEST_CHROMIUM");
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    shots = await mkdtemp(join(tmpdir(), "countersign-console-shots-"));
  });

  afterAll(async () => {
    await browser?.close();
  });

  test("the token leaves the address at once, and without it the page says what to do", async () => {
    await using stand = await startConsoleStand();
    const { page } = await visit(browser, stand);
    expect(page.url()).toBe(`${stand.base}/`);
    const stranger = await (await browser.newContext()).newPage();
    const answer = await stranger.goto(`${stand.base}/`);
    expect(answer?.status()).toBe(401);
    expect(await answer?.text()).toContain("Open the address that the service printed");
  });

  test("nothing yet: the page says what to do, then fills by itself", async () => {
    await using stand = await startConsoleStand();
    const { page, trouble } = await visit(browser, stand);
    await page.getByRole("heading", { name: "No decisions yet" }).waitFor();
    await page.getByText("countersign guard --policy policy.yaml").waitFor();
    await page.getByRole("status").getByText("Live").waitFor();
    const event = stand.chain.decision({ decision: "deny", reason: "forbidden", effect: "block" });
    await stand.put([event]);
    await grid(page)
      .getByRole("row", { name: /Denied stopped alice/ })
      .waitFor();
    const allowed = stand.chain.decision();
    await stand.put([allowed]);
    await grid(page)
      .getByRole("row", { name: /Allowed running/ })
      .waitFor();
    await stand.put([stand.chain.outcome(allowed)]);
    await grid(page)
      .getByRole("row", { name: /Allowed completed/ })
      .waitFor();
    expect(trouble).toEqual([]);
  });

  test("hostile names are text: no dialog, no element, no violation, and no direction turned", async () => {
    await using stand = await startConsoleStand();
    const [check] = DECISION_FIELDS.checks ?? [];
    if (check === undefined) throw new Error("the fixture has a check");
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const span = {
      spanId: "b1",
      name: HOSTILE.tool,
      kind: "server",
      service: HOSTILE.agent,
      startUs: 1,
      durationUs: 5,
      status: "error",
      attributes: {},
    } as const;
    stand.traces.set(traceId, [span]);
    await stand.put([
      stand.chain.decision({
        decision: "deny",
        reason: "forbidden",
        effect: "block",
        call: { ...DECISION_FIELDS.call, name: HOSTILE.tool },
        human: {
          issuer: "https://idp.example/<b>",
          subject: HOSTILE.subject,
          assurance: "bearer",
          method: "bearer",
        },
        agent: { claimed: { name: HOSTILE.agent, version: "\u202Edesrever" } },
        server: { id: HOSTILE.server, name: HOSTILE.server },
        checks: [
          {
            ...check,
            verdict: "deny",
            permission: "<i>",
            resource: { type: "file", id: HOSTILE.resource },
          },
        ],
        policy: { digest: DECISION_FIELDS.policy.digest, rule: HOSTILE.tool },
        traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      }),
    ]);
    const { page, trouble } = await visit(browser, stand);
    const row = grid(page).getByRole("row").nth(1);
    await row.getByText(HOSTILE.tool, { exact: true }).waitFor();
    await row.getByText(HOSTILE.agent, { exact: true }).waitFor();
    await row.getByText(HOSTILE.subject, { exact: true }).waitFor();
    await row.click();
    await detail(page).getByRole("heading", { name: HOSTILE.tool }).waitFor();
    await detail(page)
      .getByRole("list", { name: /Spans of the call/ })
      .getByText(HOSTILE.tool)
      .waitFor();
    await detail(page).getByRole("button", { name: "this tool" }).click();
    await page.getByRole("button", { name: "Remove the tool filter" }).waitFor();
    expect(new URL(page.url()).searchParams.get("tool")).toBe(HOSTILE.tool);
    expect(await page.getByRole("grid").getByRole("row").count()).toBe(2);
    expect(await page.getByRole("img").count()).toBe(1); // the hour's bars
    expect(
      await page.evaluate(
        "document.querySelectorAll('img, iframe, [onerror], [onload], script:not([src])').length",
      ),
    ).toBe(0);
    expect(
      await page.evaluate(
        "[...document.querySelectorAll('bdi')].every((e) => getComputedStyle(e).unicodeBidi.startsWith('isolate'))",
      ),
    ).toBe(true);
    expect(await violations(page)).toEqual([]);
    expect(trouble).toEqual([]);
  });

  test("the policy is enforced: injected script and style do not run", async () => {
    await using stand = await startConsoleStand();
    const { page } = await visit(browser, stand);
    await page.getByRole("heading", { name: "No decisions yet" }).waitFor();
    await page.evaluate(
      "(() => { const s = document.createElement('style'); s.textContent = 'body { display: none }'; document.head.append(s); })()",
    );
    await expect(page.evaluate("document.body.innerHTML = '<b>x</b>'")).rejects.toThrow(
      "TrustedHTML",
    );
    expect(await violations(page)).toEqual(
      expect.arrayContaining(["style-src-elem", "require-trusted-types-for"]),
    );
    expect(await page.getByRole("heading", { name: "No decisions yet" }).isVisible()).toBe(true);
  });

  test("keyboard alone: into the list, along it, open, follow, close, and back where one was", async () => {
    await using stand = await example();
    const { page, trouble } = await visit(browser, stand);
    const rows = grid(page).getByRole("row");
    await rows.nth(9).waitFor();
    // oxlint-disable-next-line unicorn/consistent-function-scoping -- read beside its use
    const focused = async (row: Locator): Promise<boolean> =>
      await row.evaluate(
        (element: unknown) =>
          element ===
          (globalThis as unknown as { document: { activeElement: unknown } }).document
            .activeElement,
      );
    for (let presses = 0; presses < 12 && !(await focused(rows.nth(1))); presses += 1)
      await page.keyboard.press("Tab");
    expect(await focused(rows.nth(1))).toBe(true);
    await page.keyboard.press("ArrowDown");
    expect(await focused(rows.nth(2))).toBe(true);
    await page.keyboard.press("End");
    expect(await focused(rows.nth(9))).toBe(true);
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await detail(page)
      .getByRole("heading", { name: /Denied move_ticket/ })
      .waitFor();
    expect(new URL(page.url()).searchParams.get("open")).not.toBeNull();
    expect(await rows.nth(2).getAttribute("aria-selected")).toBe("true");
    await page.keyboard.press("Escape");
    await detail(page).waitFor({ state: "detached" });
    expect(await focused(rows.nth(2))).toBe(true);
    expect(page.url()).toBe(`${stand.base}/`);
    const outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
    expect(outline).toBe("solid");
    expect(trouble).toEqual([]);
  });

  test("the detail: checks, assurance, chain, outcome, spans", async () => {
    await using stand = await example();
    const { page } = await visit(browser, stand);
    await grid(page).getByRole("row").filter({ hasText: "add_ticket is missing" }).click();
    const panel = detail(page);
    await panel.getByText("hashed just now from the stored bytes").waitFor();
    expect(await panel.getByRole("table", { name: "Checks" }).ariaSnapshot())
      .toMatchInlineSnapshot(`
      "- table "Checks":
        - rowgroup:
          - row "Verdict Permission Resource Subject Took":
            - columnheader "Verdict"
            - columnheader "Permission"
            - columnheader "Resource"
            - columnheader "Subject"
            - columnheader "Took"
        - rowgroup:
          - row "allow edit ticket:T-1042 user:auth0|5f7c8ec7c33c6c004bbafe82 1.8 ms":
            - cell "allow"
            - cell "edit"
            - cell "ticket:T-1042"
            - cell "user:auth0|5f7c8ec7c33c6c004bbafe82"
            - cell "1.8 ms"
          - row "deny add_ticket queue:r=26d/billing=2Eeu reads r&d/billing.eu user:auth0|5f7c8ec7c33c6c004bbafe82 2.2 ms":
            - cell "deny"
            - cell "add_ticket"
            - cell "queue:r=26d/billing=2Eeu reads r&d/billing.eu"
            - cell "user:auth0|5f7c8ec7c33c6c004bbafe82"
            - cell "2.2 ms""
    `);
    expect(await panel.getByRole("list", { name: "Chain" }).ariaSnapshot()).toMatch(
      /Event 9 \(outcome\): hash matches[^]*Event 10[^]*Event 11 \(decision\): hash matches/,
    );
    expect(
      await panel.getByRole("list", { name: /Spans/ }).getByRole("listitem").allInnerTexts(),
    ).toEqual([
      expect.stringMatching(/move_ticket[^]*client · support-agent/),
      expect.stringMatching(/move_ticket[^]*server · tickets/),
      expect.stringMatching(/authorize[^]*internal · tickets/),
      expect.stringMatching(/check[^]*client · tickets/),
    ]);
    await panel.getByText("A key bound to the human's login signed this very call").waitFor();
    const said = async (name: string): Promise<string> =>
      await panel
        .locator(".field")
        .filter({ has: page.locator("dt", { hasText: new RegExp(`^${name}$`) }) })
        .locator("dd")
        .innerText();
    expect(await said("Issuer")).toBe("https://idp.example");
    expect(await said("Established by")).toBe("a signed proof in the call");
    expect(await said("Login key")).toMatch(
      /^0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I thumbprint/,
    );
    expect(await said("Token hash")).toMatch(/^9f86d081884c…f00a08 SHA-256/);
    expect(await said("Proof id")).toBe("Zm9yIG9uZSBjYWxsIG9ubHk");
    expect(await said("Agent")).toBe("billing-server verified");
    expect(await said("On behalf through")).toBe("billing-server, before it tickets-server");
    await panel.getByText("tools.move_ticket", { exact: true }).waitFor();
  });

  test("spans that are not there: the page says why", async () => {
    await using stand = await startConsoleStand();
    const unsampled = stand.chain.decision({
      traceparent: `00-${"1".repeat(32)}-00f067aa0ba902b7-00`,
    });
    const gone = stand.chain.decision({ traceparent: `00-${"2".repeat(32)}-00f067aa0ba902b7-01` });
    const none = stand.chain.decision();
    await stand.put([unsampled, gone, none]);
    for (const [event, words] of [
      [unsampled, "The trace was not sampled"],
      [gone, "No spans of this trace are held here"],
      [none, "The call carried no trace"],
    ] as const) {
      const { page } = await visit(browser, stand, { address: `/?open=${event.event.id}` });
      await detail(page).getByText(words).waitFor();
      expect(await detail(page).getByRole("list", { name: /Spans/ }).count()).toBe(0);
      await page.context().close();
    }
  });

  test("the filter is the address: choosing sets it, the address sets the filter, and back goes back", async () => {
    await using stand = await example();
    const { page } = await visit(browser, stand);
    const rows = grid(page).getByRole("row");
    await rows.nth(9).waitFor();
    await page.getByRole("radio", { name: "Denied" }).check();
    await expect.poll(async () => await rows.count()).toBe(5);
    expect(page.url()).toBe(`${stand.base}/?decision=deny`);
    await page.getByRole("searchbox", { name: "Search" }).fill("payroll");
    await expect.poll(async () => await rows.count()).toBe(2);
    expect(new URL(page.url()).searchParams.get("q")).toBe("payroll");
    await page.reload();
    await expect.poll(async () => await rows.count()).toBe(2);
    expect(await page.getByRole("searchbox", { name: "Search" }).inputValue()).toBe("payroll");
    expect(await page.getByRole("radio", { name: "Denied" }).isChecked()).toBe(true);
    await page.getByRole("searchbox", { name: "Search" }).fill("nothing like it");
    await page.getByRole("heading", { name: "No decision matches this filter" }).waitFor();
    await page.getByRole("button", { name: "Clear filter" }).click();
    await expect.poll(async () => await rows.count()).toBe(10);
    await page.goBack();
    await page.getByRole("heading", { name: "No decision matches this filter" }).waitFor();
  });

  test("the service goes away: the page says so and keeps what it has", async () => {
    await using stand = await example();
    const { page } = await visit(browser, stand);
    await grid(page).getByRole("row").nth(9).waitFor();
    await page.getByRole("status").getByText("Live").waitFor();
    await stand.console.stop(AbortSignal.timeout(1000));
    await page.getByRole("status").getByText("Not connected; trying again").waitFor();
    expect(await grid(page).getByRole("row").count()).toBe(10);
  });

  test("without JavaScript the page names the command", async () => {
    await using stand = await startConsoleStand();
    const answer = await (await browser.newPage()).goto(stand.console.url);
    expect(await answer?.text()).toMatch(
      /<noscript>[^]*<code>countersign tail<\/code>[^]*<\/noscript>/,
    );
  });

  test.each([
    ["light", 1440],
    ["dark", 1440],
    ["light", 420],
    ["dark", 420],
  ] as const)("%s, %i wide: legible, nothing cut off sideways", async (scheme, width) => {
    await using stand = await example();
    const { page, trouble } = await visit(browser, stand, { dark: scheme === "dark", width });
    const row = grid(page).getByRole("row").filter({ hasText: "add_ticket is missing" });
    await row.waitFor();
    await page.screenshot({ path: join(shots, `${scheme}-${width}.png`) });
    await row.click();
    await detail(page).getByText("hashed just now").waitFor();
    await page.screenshot({ path: join(shots, `${scheme}-${width}-detail.png`) });
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
    const ground = await page.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(ground).toBe(scheme === "dark" ? "rgb(20, 23, 26)" : "rgb(247, 248, 249)");
    expect(await violations(page)).toEqual([]);
    expect(trouble).toEqual([]);
  });
});
