import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { nextPage } from "../next-page";
import { aMerchant, browse, ORIGIN, SECOND } from "./merchant";

afterEach(() => vi.restoreAllMocks());

/** A payment that asks its payer, and the page where it does. */
async function anOpenPage(returnUrl?: string, token = "test_action_ok") {
  const merchant = await aMerchant();
  const asked = await merchant.operation({ paymentMethod: token, ...(returnUrl !== undefined && { returnUrl }) });
  const performed = await merchant.perform(asked);
  if (performed.tag !== "answered") throw new Error(`The payment asks nobody: ${performed.tag}`);
  const url = nextPage(performed.snapshot.nextAction);
  const press = (choice: string) => browse(`${url}/${choice}`, { method: "POST" });
  return { ...merchant, asked, performed, url, press };
}

describe("the hosted page", () => {
  it("is where next_action leads, at the host that the caller has used", async () => {
    const { merchantId, asked, performed, url } = await anOpenPage();
    expect(performed).toMatchObject({ snapshot: { status: "requires_action", nextAction: { type: "redirect" } } });
    expect(url).toBe(`${ORIGIN}/sandbox/pay/${merchantId}/${asked.payment.reference}`);
    // 128 random bits.
    expect(asked.payment.reference).toMatch(/^spay_[\da-f]{32}$/);
  });

  it("shows the amount and two buttons, without a script or anything of another host", async () => {
    const { url } = await anOpenPage("https://shop.example/done");
    const response = await browse(url);
    const page = await response.text();
    expect(response.status).toBe(200);
    expect(response.headers.get("Content-Type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect(response.headers.get("Content-Security-Policy")).toBe(
      "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self' https: http:; frame-ancestors 'none'",
    );
    const { pathname } = new URL(url);
    expect(page).toContain("100.00 EUR");
    expect(page).toContain(`<button formaction="${pathname}/pay">Pay</button>`);
    expect(page).toContain(`<button formaction="${pathname}/refuse" class="second">Refuse</button>`);
    expect(page).not.toMatch(/<script|style=|https?:/);
    expect((await browse(`${url}/`)).status).toBe(200);
  });

  it("pays, and leads back to the shop; a second press changes nothing", async () => {
    const { press, observe, asked, effects } = await anOpenPage("https://shop.example/done?order=1&x=2");
    for (const choice of ["pay", "pay", "refuse"]) {
      const { status, headers } = await press(choice);
      expect([status, headers.get("Location")], choice).toEqual([303, "https://shop.example/done?order=1&x=2"]);
    }
    expect(await observe(asked)).toMatchObject({ snapshot: { status: "captured", nextAction: null } });
    expect(await effects()).toEqual([{ kind: "captured", amount: 10_000, nonce: asked.nonce }]);
  });

  it("refuses, and leads back to the shop", async () => {
    const { press, observe, asked, effects } = await anOpenPage("http://shop.example/done");
    expect((await press("refuse")).headers.get("Location")).toBe("http://shop.example/done");
    expect((await press("pay")).status).toBe(303);
    expect(await observe(asked)).toMatchObject({
      snapshot: { status: "failed", failure: { code: "cancelled_by_payer", decline_code: "refused_by_payer" } },
    });
    expect(await effects()).toEqual([]);
  });

  it("says so where the shop has named no page to return to", async () => {
    const { press, url } = await anOpenPage();
    const response = await press("pay");
    expect(response.status).toBe(200);
    expect(response.headers.get("Content-Security-Policy")).toContain("form-action 'self';");
    const page = await response.text();
    expect(page).toContain("This payment is paid.");
    expect(page).toContain("the shop named none to return to");
    expect(page).not.toContain("<form");
    expect(await (await browse(url)).text()).toBe(page);
  });

  it("says that the time is over, and takes no press then", async () => {
    const { press, url, account, effects } = await anOpenPage("https://shop.example/", "test_action_abandoned");
    await account.advance(300 * SECOND);
    const page = await (await browse(url)).text();
    expect(page).toContain("The time for this payment is over.");
    expect(page).toContain('<a href="https://shop.example/">');
    await press("pay");
    expect(await effects()).toEqual([]);
  });

  it("lets nothing out of the page that a shop puts into its return URL", async () => {
    const { press, url } = await anOpenPage(`https://shop.example/?a="><script>alert('1')</script>&b=<`);
    await press("pay");
    const page = await (await browse(url)).text();
    expect(page).not.toContain("<script");
    expect(page).toContain("&amp;b=");
  });

  it.each(["javascript:alert(1)", "data:text/html,x", "/done", "ftp://shop.example/", "//shop.example"])(
    "leads to no such place: %s",
    async (returnUrl) => {
      const { operation, perform } = await aMerchant();
      const asked = await operation({ paymentMethod: "test_action_ok", returnUrl });
      expect(await perform(asked)).toMatchObject({ tag: "refused", failure: { decline_code: "invalid_request" } });
    },
  );

  it("is not there for a payment that nobody has, or that asks nobody yet", async () => {
    const { url, merchantId, operation } = await anOpenPage();
    const unconfirmed = await operation({});
    const others = [
      url.replace(/spay_\w/, (start) => start.replace(/.$/, (digit) => (digit === "0" ? "1" : "0"))),
      url.replace(`/${merchantId}/`, `/${merchantId + 1_000}/`),
      ...[`${ORIGIN}/sandbox/pay/${merchantId}/${unconfirmed.payment.reference}`, `${ORIGIN}/sandbox/pay/1/x`],
      ...[`${ORIGIN}/sandbox/pay/0/spay_${"0".repeat(32)}`, `${ORIGIN}/sandbox/pay`, `${ORIGIN}/sandbox`],
    ];
    for (const other of others) {
      expect((await browse(other)).status, other).toBe(404);
      expect((await browse(`${other}/pay`, { method: "POST" })).status, other).toBe(404);
    }
  });

  it("leaves no trace in an account that is not there", async () => {
    const account = env.SANDBOX_LEDGER.getByName("999999");
    await browse(`${ORIGIN}/sandbox/pay/999999/spay_${"0".repeat(32)}`);
    const tables = await runInDurableObject(account, (_, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray(),
    );
    expect(tables).toEqual([]);
  });

  it("is not there where the operator allows no sandbox", async () => {
    const { url } = await anOpenPage();
    const closed: Env = { ...env, SANDBOX: "no" };
    for (const [path, method] of [
      ["", "GET"],
      ["/pay", "POST"],
      ["/refuse", "POST"],
    ]) {
      const response = await browse(url + path, { method }, closed);
      expect([response.status, (await response.json<{ type: string }>()).type]).toEqual([
        404,
        "/problems/route-not-found",
      ]);
    }
  });

  it("has no other methods, and is logged without its reference", async () => {
    const { url } = await anOpenPage();
    const said = vi.spyOn(console, "log").mockImplementation(() => {});
    const response = await browse(`${url}/pay`);
    expect([response.status, response.headers.get("Allow")]).toEqual([405, "OPTIONS, POST"]);
    await browse(url);
    const lines = said.mock.calls.map(([line]) => String(line));
    expect(lines.at(-1)).toContain('"route":"/sandbox/pay/{merchant_id}/{payment}"');
    expect(lines.join("\n")).not.toContain("spay_");
  });
});
