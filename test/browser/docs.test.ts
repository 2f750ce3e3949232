import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
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
    viewport: { width: 1280, height: 900 },
  });
  browser.setDefaultTimeout(15_000);
  page = browser.pages()[0] ?? (await browser.newPage());
  // The browser reports violations of the Content-Security-Policy as console errors.
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
  page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()}`));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== server.url) complaints.push(`another host: ${request.url()}`);
  });
}, 150_000);

beforeEach(async () => {
  complaints = [];
  await page.goto(`${server.url}/docs`);
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

  expect(await execute(create)).toEqual({ code: "200", body: confirmed.body });
  expect(complaints).toEqual([]);
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
