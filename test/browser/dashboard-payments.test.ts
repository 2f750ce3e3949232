/** Payments on the dashboard in a browser: found, followed, changed, by people who have never seen it. */
import { createServer, type Server } from "node:http";
import type { BrowserContextOptions } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { SCOPE_NAMES } from "../../src/scopes.ts";
import { axeViolations, type Dashboard, HOSTILE, type OpenPage, overflow, startDashboard } from "./dashboard.ts";

/** The narrowest phones that are still sold. */
const PHONE = { width: 360, height: 740 };

let dashboard: Dashboard;
/** Who is told of the payments: it fails until it is mended. */
let receiver: Server;
let isMended = false;

beforeAll(async () => {
  dashboard = await startDashboard();
  receiver = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(isMended ? 204 : 500).end(isMended ? "" : `Out of order ${HOSTILE}`));
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
}, 180_000);

afterEach(async () => {
  isMended = false;
  await dashboard.closePages();
});

afterAll(async () => {
  receiver?.close();
  await dashboard?.stop();
}, 30_000);

/** Asks the API with a key, each time under a new idempotency key. */
async function ask<Body = { id: number }>(key: string, method: string, route: string, sent?: object): Promise<Body> {
  const response = await fetch(`${dashboard.url}/api/v1${route}`, {
    method,
    headers: {
      Authorization: `Bearer ${key}`,
      "Idempotency-Key": crypto.randomUUID(),
      ...(sent && { "Content-Type": "application/json" }),
    },
    ...(sent && { body: JSON.stringify(sent) }),
  });
  expect(response.ok || response.status === 402, `${method} ${route}: ${response.status}`).toBe(true);
  return (await response.json()) as Body;
}

/** The key of a new merchant, with every scope that merchants have. */
async function newMerchant(): Promise<string> {
  const { id } = await ask(dashboard.administratorKey, "POST", "/merchants", { name: "Shop" });
  const scopes = SCOPE_NAMES.filter((scope) => scope !== "admin");
  const body = { merchant_id: id, name: "browser", scopes };
  return (await ask<{ key: string }>(dashboard.administratorKey, "POST", "/api-keys", body)).key;
}

/** Has a merchant's events sent to the receiver. */
async function anEndpoint(key: string, types?: readonly string[]): Promise<void> {
  const address = receiver.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/hooks`;
  await ask(key, "POST", "/webhook-endpoints", { url, ...(types && { types }) });
}

/** Amounts and times as Americans read them. */
const open = (key: string, route: string, options: BrowserContextOptions = {}): Promise<OpenPage> =>
  dashboard.openSignedIn(route, key, { locale: "en-US", viewport: { width: 1280, height: 900 }, ...options });

interface Payment {
  readonly id: number;
  readonly status: string;
  readonly amount_refunded: number;
}

/** A new payment of a merchant, confirmed. */
async function aConfirmed(key: string, more: object = {}): Promise<number> {
  const { id } = await ask<Payment>(key, "POST", "/payments", {
    order_id: 1,
    amount: 99.99,
    currency: "USD",
    ...more,
  });
  await ask(key, "POST", `/payments/${id}/confirm`);
  return id;
}

const paymentOf = (key: string, id: number) => ask<Payment>(key, "GET", `/payments/${id}`);

/** A shop with a receiver that fails, a refunded payment, and another one that is paid. */
async function aShop() {
  const key = await newMerchant();
  await anEndpoint(key, ["payment.refunded"]);
  for (let n = 0; n < 30; n++) await ask(key, "POST", "/payments", { order_id: n + 1, amount: n + 1, currency: "EUR" });
  const refunded = await aConfirmed(key, {
    reference: "INV-2026-0042",
    description: "Two books",
    metadata: { cart: "c-7" },
  });
  await ask(key, "POST", `/payments/${refunded}/refunds`, { reason: "Came back" });
  const other = await aConfirmed(key, { reference: "INV-2026-0043", description: "A lamp" });
  return { key, refunded, other };
}

test.each([
  ["with JavaScript", true],
  ["without JavaScript", false],
])(
  "somebody finds a refunded payment, sees why its webhook failed, sends it again, and refunds another in part, %s",
  async (_, javaScriptEnabled) => {
    const { key, refunded, other } = await aShop();
    const { page, complaints } = await open(key, "/dashboard/payments", { javaScriptEnabled });
    const began = Date.now();
    const search = page.getByRole("searchbox", { name: "Search payments" });
    await search.fill("INV-2026-0042");
    await search.press("Enter");
    await page.waitForURL(`**/dashboard/payments/${refunded}`);
    const webhooks = page.getByRole("region", { name: "Webhooks" });
    const reloaded = async () => {
      await page.reload();
      return webhooks.textContent();
    };
    await expect.poll(reloaded, { timeout: 20_000 }).toContain("Answered 500");
    expect(await webhooks.textContent()).toContain("The server has failed");
    isMended = true;
    await webhooks.getByRole("button", { name: /^Send again: Refunded/ }).click();
    await page.getByText("It is sent again now.").waitFor();
    await expect.poll(reloaded, { timeout: 20_000 }).toContain("delivered");

    await page.getByRole("link", { name: "Payments", exact: true }).first().click();
    await page
      .getByRole("row", { name: /INV-2026-0043/ })
      .getByRole("link")
      .click();
    await page.waitForURL(`**/dashboard/payments/${other}`);
    await page.getByRole("link", { name: "Refund", exact: true }).click();
    await page.getByText("$99.99 is left to give back").waitFor();
    await page.getByLabel("Amount in USD").fill("40");
    await page.getByLabel(/^Reason/).fill("One part was missing");
    // A script names the amount.
    await page.getByRole("button", { name: javaScriptEnabled ? "Refund 40 USD" : "Refund this amount" }).click();
    await page.getByText("The money is given back.").waitFor();
    expect(await page.getByRole("region", { name: "Refunds", exact: true }).textContent()).toContain("$40.00");
    // By a machine: what is asked of a person is within two minutes of reading and typing.
    expect(Date.now() - began).toBeLessThan(60_000);
    expect(await paymentOf(key, other)).toMatchObject({ status: "confirmed", amount_refunded: 40 });
    expect(complaints).toEqual([]);
  },
);

test("a page follows what happens in another window, and keeps its place", async () => {
  const { key, other } = await aShop();
  const first = await open(key, `/dashboard/payments/${other}`);
  await first.page.locator(`#evt_${other}_1 summary`).click();
  const second = await open(key, `/dashboard/payments/${other}`);
  await second.page.getByRole("link", { name: "Refund", exact: true }).click();
  const dialog = second.page.getByRole("dialog", { name: "Refund the payment" });
  await dialog.getByLabel("Amount in USD").fill("10");
  // A double click asks once.
  await dialog.getByRole("button", { name: "Refund 10 USD" }).dblclick();
  await second.page.getByText("The money is given back.").waitFor();
  // The first window is in the background of none: a page that is not seen does not ask.
  await first.page.bringToFront();
  await expect
    .poll(() => first.page.getByRole("region", { name: "Refunds", exact: true }).textContent(), { timeout: 20_000 })
    .toContain("$10.00");
  expect(await first.page.locator(`#evt_${other}_1`).getAttribute("open")).not.toBeNull();
  expect(await paymentOf(key, other)).toMatchObject({ amount_refunded: 10 });
  expect([...first.complaints, ...second.complaints]).toEqual([]);
});

test("a form that stands open is refused what another window has taken, and says what is left", async () => {
  const { key, other } = await aShop();
  const { page, complaints } = await open(key, `/dashboard/payments/${other}`);
  await page.getByRole("link", { name: "Refund", exact: true }).click();
  await page.getByRole("dialog").getByLabel("Amount in USD").waitFor();
  await ask(key, "POST", `/payments/${other}/refunds`, { amount: 90 });
  await page.getByRole("dialog").getByRole("button", { name: "Refund 99.99 USD" }).click();
  await page.getByText("At most 9.99 USD can be refunded").waitFor();
  expect(await page.getByLabel("Amount in USD").inputValue()).toBe("99.99");
  expect(await paymentOf(key, other)).toMatchObject({ amount_refunded: 90 });
  // The browser reports a refusal of a page that it loads as an error of it.
  expect(complaints.filter((text) => !text.includes("409"))).toEqual([]);
});

test("a page whose key is revoked leads to the sign-in by itself", async () => {
  const { key, other } = await aShop();
  const { page } = await open(key, `/dashboard/payments/${other}`);
  await page.getByRole("heading", { level: 1 }).waitFor();
  await ask(dashboard.administratorKey, "POST", `/api-keys/${key.split("_")[1]}/revoke`);
  await page.waitForURL("**/dashboard/sign-in?**", { timeout: 40_000 });
  await page.getByLabel("API key").waitFor();
});

test("a keyboard is enough to find a payment and to refund it", async () => {
  const { key, other } = await aShop();
  const { page, complaints } = await open(key, "/dashboard/payments");
  const press = async (name: string, times = 40) => {
    for (let n = 0; n < times; n++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()",
      );
      if (focused === name) return;
    }
    throw new Error(`Tab does not come to ${name}`);
  };
  await press("Search payments");
  await page.keyboard.type("INV-2026-0043");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/dashboard/payments/${other}`);
  await press("Refund");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  expect(await page.evaluate("document.activeElement.id")).toBe("do-refund");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await press("Refund 99.99 USD", 5);
  await page.keyboard.press("Enter");
  await page.getByText("The money is given back.").waitFor();
  expect(await paymentOf(key, other)).toMatchObject({ status: "refunded" });
  expect(complaints).toEqual([]);
});

test("hostile texts stay texts, whole and readable on a phone", async () => {
  const key = await newMerchant();
  await anEndpoint(key);
  const metadata = { [`<b>${"n".repeat(30)}`]: `${HOSTILE}${"x".repeat(300)}`, cart: "c-7" };
  const texts = { reference: `${HOSTILE}${"y".repeat(130)}`, description: `${HOSTILE}${"z".repeat(350)}`, metadata };
  const id = await aConfirmed(key, texts);
  await ask(key, "POST", `/payments/${id}/refunds`, { amount: 1, reason: HOSTILE });
  await ask(key, "PATCH", `/payments/${id}`, { description: HOSTILE });
  const { page, complaints } = await open(key, "/dashboard/payments", { viewport: PHONE });
  const answered = page.getByRole("region", { name: "Webhooks" }).getByText("Answered 500").first();
  for (const route of ["", `/${id}`, `/${id}/refund`, `/${id}/edit`, `?q=${encodeURIComponent(HOSTILE)}`]) {
    await page.goto(`${dashboard.url}/dashboard/payments${route}`);
    if (route === `/${id}`) await answered.waitFor({ timeout: 30_000 });
    expect([route, await overflow(page), await page.title()]).toEqual([
      route,
      [],
      expect.not.stringMatching(/^hacked/),
    ]);
    expect([route, await axeViolations(page)]).toEqual([route, []]);
  }
  expect(complaints).toEqual([]);
}, 120_000);
