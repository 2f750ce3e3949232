import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { makeAdministratorKey } from "../../src/auth/api-key.ts";
import { makeSecretsKeys } from "../../src/auth/secret-keys.ts";
import { PROJECT, type Server, startServer } from "../system/server";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** Keeps Chromium to the page alone: nothing that it does by itself, on the network or on the screen. */
const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** Where people find what the page looks like; git ignores it. */
const SCREENSHOTS = path.join(PROJECT, "dist");

const DESKTOP = { width: 1280, height: 900 };
/** The narrowest phones that are still sold. */
const PHONE = { width: 360, height: 740 };

let directory: string;
let server: Server;
let browser: BrowserContext;
let page: Page;
/** An API key that may do all that the examples of payments do. */
let apiKey: string;
/** What the page does that it should not: errors and warnings it logs or throws, other hosts it asks. */
let complaints: string[];

beforeAll(async () => {
  await access(CHROMIUM).catch(() => {
    throw new Error(
      `There is no Chromium at ${CHROMIUM}. Install it (Debian: apt-get update && apt-get install -y chromium), ` +
        "or name another one in the environment variable CHROMIUM.",
    );
  });
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  const admin = makeAdministratorKey();
  const secrets = path.join(directory, "secrets.env");
  await writeFile(secrets, `AUTH_MODE=required\nADMIN_KEY=${admin}\nSECRETS_KEYS=${makeSecretsKeys(new Date())}\n`, {
    mode: 0o600,
  });
  server = await startServer(path.join(directory, "state"), [], ["--secrets-file", secrets]);
  const made = await fetch(`${server.url}/api/v1/api-keys`, {
    method: "POST",
    headers: { Authorization: `Bearer ${admin}`, "Content-Type": "application/json" },
    body: JSON.stringify({
      merchant_id: 1,
      name: "page",
      scopes: ["payments:read", "payments:write", "refunds:write", "events:read"],
    }),
  });
  apiKey = ((await made.json()) as { key: string }).key;
  browser = await chromium.launchPersistentContext(path.join(directory, "profile"), {
    executablePath: CHROMIUM,
    args: ARGUMENTS,
    viewport: DESKTOP,
    colorScheme: "light",
  });
  browser.setDefaultTimeout(15_000);
  page = browser.pages()[0] ?? (await browser.newPage());
  // The browser reports violations of the Content-Security-Policy as console errors.
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
  // A page that is left, or loaded again, breaks off what it was still loading.
  page.on("requestfailed", (request) => {
    const { errorText } = request.failure() ?? {};
    if (errorText !== "net::ERR_ABORTED") complaints.push(`failed: ${request.url()}: ${errorText}`);
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== server.url) complaints.push(`another host: ${request.url()}`);
  });
}, 150_000);

beforeEach(async () => {
  complaints = [];
  await page.goto(`${server.url}/docs`);
  await page.locator(".opblock").first().waitFor();
});

afterEach(async () => {
  await page.evaluate(() => sessionStorage.clear());
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: "light" });
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
  if (directory) await rm(directory, { recursive: true, force: true });
}, 30_000);

test("the page shows every operation of the document, and every webhook", async () => {
  const response = await fetch(`${server.url}/openapi.json`);
  type Paths = Record<string, Record<string, unknown>>;
  const { paths, webhooks } = (await response.json()) as { paths: Paths; webhooks: Paths };
  const operations = Object.entries({ ...paths, ...webhooks }).flatMap(([route, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${route}`),
  );
  expect(operations).toContain("POST payment.refunded");
  expect(operations).toContain("POST /api/v1/payments/{payment_id}/refund");

  await page
    .locator(".opblock")
    .nth(operations.length - 1)
    .waitFor();
  expect(await page.title()).toBe("Payment Service API");
  const methods = await page.locator(".opblock-summary-method").allTextContents();
  const routes = await page.locator(".opblock-summary-path").allTextContents();
  expect(methods.map((method, index) => `${method} ${routes[index]}`).sort()).toEqual(operations.sort());
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, "docs.png"), fullPage: true });
  expect(complaints).toEqual([]);
});

test("without a key it shows the refusal; Authorize takes a real key, and the same request is let in", async () => {
  const list = await open("listPayments");
  expect(await execute(list)).toMatchObject({ code: "401", body: { type: "/problems/credentials-missing" } });
  // The browser reports every refusal of a request as an error of the page.
  expect(complaints.splice(0)).toEqual([expect.stringContaining("401 (Unauthorized)")]);
  await authorize();
  expect(await execute(list)).toMatchObject({ code: "200", body: { data: expect.any(Array) } });
  expect(complaints).toEqual([]);
});

test("its examples, executed as they stand, lead a payment through its life", async () => {
  await authorize();
  for (const [operation, code, status] of [
    ["createPayment", "201", "pending"],
    ["confirmPayment", "200", "confirmed"],
    ["getPayment", "200", "confirmed"],
    ["refundPayment", "200", "refunded"],
  ] as const) {
    const answer = await execute(await open(operation));
    expect({ operation, ...answer }).toMatchObject({ operation, code, body: { id: 1, status } });
  }
  expect(complaints).toEqual([]);
});

test("a payment can be created, confirmed, and its creation repeated, by hand", async () => {
  await authorize();
  const create = await open("createPayment");
  await create.getByPlaceholder("idempotency-key").fill("from-the-page");
  await create.locator("textarea.body-param__text").fill('{"order_id": 7, "amount": "1500", "currency": "JPY"}');
  const created = await execute(create);
  expect(created).toMatchObject({
    code: "201",
    body: { order_id: 7, amount: 1500, currency: "JPY", status: "pending" },
  });
  await create.locator(".live-responses-table").screenshot({ path: path.join(SCREENSHOTS, "docs-created.png") });

  const confirm = await open("confirmPayment");
  await confirm.getByPlaceholder("payment_id").fill(String(created.body.id));
  await confirm.getByPlaceholder("idempotency-key").fill("");
  const confirmed = await execute(confirm);
  expect(confirmed).toMatchObject({ code: "200", body: { id: created.body.id, status: "confirmed" } });

  await create.getByPlaceholder("idempotency-key").fill("from-the-page");
  expect(await execute(create)).toEqual({ code: "200", body: confirmed.body });
  expect(complaints).toEqual([]);
});

describe("the API key", () => {
  test("survives a reload, and is known to this tab alone, until it is logged out", async () => {
    await authorize();
    await page.reload();
    await page.locator(".auth-wrapper .btn.authorize.locked").waitFor();
    expect(await execute(await open("listPayments"))).toMatchObject({ code: "200" });
    const kept = () => page.evaluate(() => [JSON.stringify(localStorage), JSON.stringify(sessionStorage)] as const);
    const [everywhere, here] = await kept();
    expect([everywhere.includes(apiKey), here.includes(apiKey)]).toEqual([false, true]);

    const other = await browser.newPage();
    await other.goto(`${server.url}/docs`);
    await other.locator(".auth-wrapper .btn.authorize.unlocked").waitFor();
    await other.close();

    await page.locator(".auth-wrapper .btn.authorize").click();
    await page.locator(".modal-ux").getByRole("button", { name: "Remove authorization" }).click();
    expect((await kept()).join()).not.toContain(apiKey);
    await page.reload();
    await page.locator(".auth-wrapper .btn.authorize.unlocked").waitFor();
    expect(complaints).toEqual([]);
  });
});

describe("idempotency keys", () => {
  const keyOf = (block: Locator) => block.getByPlaceholder("idempotency-key").inputValue();

  test("a fresh one stands in every form that takes one, each time it is opened", async () => {
    const proposed = [await keyOf(await open("createPayment")), await keyOf(await open("confirmPayment"))];
    for (const again of [1, 2]) {
      await page.locator("#operations-Payments-createPayment .opblock-summary-control").click();
      await page.locator("#operations-Payments-createPayment .opblock-body").waitFor({ state: "hidden" });
      proposed.push(await keyOf(await open("createPayment")));
      expect(proposed).toHaveLength(2 + again);
    }
    // A link to an operation opens its form, before the document is there.
    await page.goto(`${server.url}/docs#/Payments/refundPayment`);
    await page.reload();
    await page.locator("#operations-Payments-refundPayment .opblock-body").waitFor();
    proposed.push(await keyOf(await open("refundPayment")));
    for (const key of proposed) expect(key).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(proposed).size).toBe(5);
    expect(complaints).toEqual([]);
  });

  test("a fresh one takes the place of one that was answered, a person's own too", async () => {
    await authorize();
    const create = await open("createPayment");
    const sent = [await keyOf(create)];
    const first = await execute(create);
    sent.push(await keyOf(create));
    const second = await execute(create);
    expect([first.code, second.code]).toEqual(["201", "201"]);
    expect(second.body.id).not.toBe(first.body.id);
    await create.getByPlaceholder("idempotency-key").fill("my-own");
    expect(await execute(create)).toMatchObject({ code: "201" });
    sent.push("my-own", await keyOf(create));
    expect(new Set(sent).size).toBe(4);
    expect(complaints).toEqual([]);
  });

  test("the one whose answer was lost stays, so that the next try is a retry", async () => {
    await authorize();
    const create = await open("createPayment");
    const key = await keyOf(create);
    // The request arrives, and its answer does not.
    await page.route("**/api/v1/payments", async (route) => {
      await route.fetch();
      await route.abort();
    });
    await create.getByRole("button", { name: "Execute" }).click();
    await create.locator(".live-responses-table").getByText("Failed to fetch").first().waitFor();
    await page.unroute("**/api/v1/payments");
    expect(await keyOf(create)).toBe(key);
    expect(complaints.splice(0)).not.toEqual([]);
    expect(await execute(create)).toMatchObject({ code: "200" });
    expect(await keyOf(create)).not.toBe(key);
    expect(complaints).toEqual([]);
  });
});

describe("on a phone", () => {
  /** How far the page reaches beyond the screen's right edge. */
  const overflow = () => page.evaluate("document.documentElement.scrollWidth - innerWidth");

  test("no page is wider than the screen, with a form open, filled in and answered", async () => {
    await page.setViewportSize(PHONE);
    await page.goto(server.url);
    expect(await overflow()).toBe(0);
    await page.screenshot({ path: path.join(SCREENSHOTS, "home-phone.png") });

    await page.goto(`${server.url}/docs`);
    await authorize();
    expect(await overflow()).toBe(0);
    for (const operation of ["createPayment", "listPayments", "getPayment"]) {
      const block = await open(operation);
      await execute(block);
      expect([operation, await overflow()]).toEqual([operation, 0]);
      // What is typed and what is pressed stands within the screen, too.
      for (const control of await block.locator("input, textarea, select, button").all()) {
        const box = await control.boundingBox();
        if (box) expect(box.x + box.width).toBeLessThanOrEqual(PHONE.width);
      }
    }
    await page.screenshot({ path: path.join(SCREENSHOTS, "docs-phone.png") });
    expect(complaints).toEqual([]);
  });
});

describe("dark mode", () => {
  /** How light the ground is, from 0 for black to 255 for white. */
  const lightness = async () => {
    const colors = await page.evaluate<string[]>(
      "[document.body, document.documentElement].map((element) => getComputedStyle(element).backgroundColor)",
    );
    const ground = colors.find((color) => color !== "rgba(0, 0, 0, 0)") ?? "rgb(255, 255, 255)";
    return (ground.match(/\d+/g) ?? []).reduce((sum, part) => sum + Number(part), 0) / 3;
  };

  test.each(["/", "/docs"])("%s follows what the system prefers, also while it is open", async (pathname) => {
    await page.goto(server.url + pathname);
    expect(await lightness()).toBeGreaterThan(200);
    await page.emulateMedia({ colorScheme: "dark" });
    await expect.poll(lightness, { timeout: 10_000 }).toBeLessThan(60);
    await page.goto(server.url + pathname);
    expect(await lightness()).toBeLessThan(60);
    await page.screenshot({ path: path.join(SCREENSHOTS, `${pathname === "/" ? "home" : "docs"}-dark.png`) });
    await page.emulateMedia({ colorScheme: "light" });
    await expect.poll(lightness, { timeout: 10_000 }).toBeGreaterThan(200);
    expect(complaints).toEqual([]);
  });
});

/** Gives the page the API key, as a person does. */
async function authorize(): Promise<void> {
  await page.locator(".auth-wrapper .btn.authorize").click();
  const dialog = page.locator(".modal-ux");
  await dialog.locator("input").fill(apiKey);
  await dialog.locator("button.authorize").click();
  await mkdir(SCREENSHOTS, { recursive: true });
  await dialog.screenshot({ path: path.join(SCREENSHOTS, "docs-authorize.png") });
  await dialog.locator("button.btn-done").click();
  await page.locator(".auth-wrapper .btn.authorize.locked").waitFor();
}

/** Opens an operation's block, where "Try it out" is on from the start. */
async function open(operation: string): Promise<Locator> {
  const block = page.locator(`#operations-Payments-${operation}`);
  if ((await block.locator(".opblock-body").count()) === 0) await block.locator(".opblock-summary-control").click();
  await block.getByRole("button", { name: "Execute" }).waitFor();
  return block;
}

/** Executes an operation as its block is filled in, and reads the answer that the page then shows. */
async function execute(block: Locator): Promise<{ code: string; body: Record<string, unknown> }> {
  // An earlier answer would still be there while the new one is on its way.
  const clear = block.getByRole("button", { name: "Clear" });
  if (await clear.isVisible()) await clear.click();
  await block.getByRole("button", { name: "Execute" }).click();
  const answer = block.locator(".live-responses-table tbody tr").first();
  const code = await answer.locator(".response-col_status").textContent();
  const body = await answer.locator(".response-col_description pre code.language-json").first().textContent();
  return { code: code?.trim() ?? "", body: JSON.parse(body ?? "") };
}
