/** The sandbox's hosted page in a browser, from the shop that sends its payer there back to the shop. */
import { access, mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server as HttpServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, type Server, startServer } from "../system/server";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** Keeps Chromium to the page alone. */
const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"];
/** Where people find what the page looks like; git ignores it. */
const SCREENSHOTS = path.join(PROJECT, "dist");
/** The narrowest phones that are still sold. */
const PHONE = { width: 360, height: 740 };

let directory: string;
let server: Server;
let browser: Browser;
/** A shop at another origin, whose page leads on to a third one. */
let shop: HttpServer;
let thanks: HttpServer;
let returnUrl: string;
let orders = 0;

async function listen(answer: Parameters<typeof createServer>[1]): Promise<HttpServer> {
  const listening = createServer(answer);
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  return listening;
}

const originOf = (listening: HttpServer) => {
  const address = listening.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
};

beforeAll(async () => {
  await access(CHROMIUM).catch(() => {
    throw new Error(`There is no Chromium at ${CHROMIUM}. Install it, or name another one in the variable CHROMIUM.`);
  });
  directory = await mkdtemp(path.join(tmpdir(), "payments-"));
  const html = { "Content-Type": "text/html" };
  thanks = await listen((_, response) => response.writeHead(200, html).end("<h1>Thank you</h1>"));
  shop = await listen(({ url = "" }, response) =>
    response.writeHead(302, { Location: `${originOf(thanks)}${url}` }).end(),
  );
  returnUrl = `${originOf(shop)}/order?id=1&x=%3Cb%3E`;
  server = await startServer(path.join(directory, "state"));
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
}, 150_000);

afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
  shop?.close();
  thanks?.close();
  if (directory) await rm(directory, { recursive: true, force: true });
}, 30_000);

/** Where a payment of 12.34 EUR sends its payer. */
async function aPayerIsSent(body: object): Promise<string> {
  const post = async (route: string, sent: object) => {
    const response = await fetch(`${server.url}/api/v1/payments${route}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() },
      body: JSON.stringify(sent),
    });
    return (await response.json()) as { id: number; next_action: { url: string } | null };
  };
  const { id } = await post("", { order_id: ++orders, amount: 12.34, currency: "EUR", provider: "sandbox" });
  const { next_action } = await post(`/${id}/confirm`, { payment_method: "test_action_ok", ...body });
  return next_action?.url ?? "";
}

/** A browser of its own on the page, and what that page did that it should not. */
async function open(url: string, options: BrowserContextOptions = {}): Promise<{ page: Page; complaints: string[] }> {
  const page = await (await browser.newContext(options)).newPage();
  const complaints: string[] = [];
  page.setDefaultTimeout(15_000);
  // The browser reports violations of the Content-Security-Policy as console errors.
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  // A page that is left breaks off what it was still loading.
  page.on("requestfailed", (request) => {
    const { errorText } = request.failure() ?? {};
    if (errorText !== "net::ERR_ABORTED") complaints.push(`failed: ${request.url()}: ${errorText}`);
  });
  await page.goto(url);
  return { page, complaints };
}

describe.each([
  ["with JavaScript", true],
  ["without JavaScript", false],
])("%s", (_, javaScriptEnabled) => {
  test.each(["Pay", "Refuse"])("%s leads back to the shop, however that leads on", async (name) => {
    const { page, complaints } = await open(await aPayerIsSent({ return_url: returnUrl }), { javaScriptEnabled });
    expect(await page.getByRole("strong").textContent()).toBe("12.34 EUR");
    await page.getByRole("button", { name }).click();
    await page.getByRole("heading", { name: "Thank you" }).waitFor();
    expect(page.url()).toBe(`${originOf(thanks)}/order?id=1&x=%3Cb%3E`);
    expect(complaints).toEqual([]);
    // Whoever goes back finds that it is done.
    await page.goBack();
    await page.reload();
    expect(await page.getByRole("button").count()).toBe(0);
    expect(await page.getByRole("status").textContent()).toBe(
      name === "Pay" ? "This payment is paid." : "This payment was not made.",
    );
  });

  test("a payment that names no page to return to says what became of it", async () => {
    const { page, complaints } = await open(await aPayerIsSent({}), { javaScriptEnabled });
    await page.getByRole("button", { name: "Pay" }).click();
    await page.getByText("This payment is paid.").waitFor();
    expect(await page.locator("main").textContent()).toContain("the shop named none to return to");
    expect(complaints).toEqual([]);
  });
});

test("a keyboard is enough", async () => {
  const { page } = await open(await aPayerIsSent({ return_url: returnUrl }));
  await page.keyboard.press("Tab");
  expect(await page.locator(":focus").textContent()).toBe("Pay");
  await page.keyboard.press("Tab");
  expect(await page.locator(":focus").textContent()).toBe("Refuse");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Thank you" }).waitFor();
});

test.each(["light", "dark"] as const)("a phone shows all of it, in %s colours", async (colorScheme) => {
  const { page, complaints } = await open(await aPayerIsSent({}), { viewport: PHONE, colorScheme });
  expect(await page.locator("html").getAttribute("lang")).toBe("en");
  expect(await page.title()).toBe("Sandbox payment");
  expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("Sandbox payment");
  for (const button of await page.getByRole("button").all()) {
    const box = await button.boundingBox();
    // Large enough for a finger (WCAG 2.2, target size, enhanced), and within the screen.
    expect(box?.height).toBeGreaterThanOrEqual(44);
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(PHONE.width);
  }
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SCREENSHOTS, `sandbox-page-${colorScheme}.png`) });
  expect(complaints).toEqual([]);
});
