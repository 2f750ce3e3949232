/** The sandbox in the dashboard. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { TOKENS } from "../../../src/sandbox/tokens";
import { SCOPE_NAMES } from "../../../src/scopes";
import { client, newKey, newMerchant, ORDER } from "../client";
import { Browser, signedIn, textOf } from "./browser";

const PATH = "/dashboard/sandbox";
const OWN_SCOPES = SCOPE_NAMES.filter((scope) => scope !== "admin");

async function aShop() {
  const key = await newKey(OWN_SCOPES, await newMerchant());
  const api = client(undefined, { key });
  const post = (path: string, body: object) =>
    api.request("POST", path, { body, headers: { "Idempotency-Key": crypto.randomUUID() } });
  return { key, post, browser: await signedIn(key) };
}

describe("the sandbox", () => {
  it("says first how its first payment is made, with commands that make it", async () => {
    const { browser, post } = await aShop();
    const { text, status } = await browser.open(PATH);
    expect(status).toBe(200);
    expect(text).toContain("No payment at the sandbox yet");
    const commands = textOf(/<pre[^>]*>([\s\S]*?)<\/pre>/.exec(text)?.[1] ?? "");
    const [first, second] = [...commands.matchAll(/curl (\S+) -H 'Authorization: Bearer pay_…'[\s\S]*?-d '([^']*)'/g)];
    const path = (url: string | undefined) => new URL(url ?? "").pathname;
    const made = await post(path(first?.[1]), JSON.parse(first?.[2] ?? ""));
    expect(made.status).toBe(201);
    const paid = await post(path(second?.[1]).replace("ID", String(made.body.id)), JSON.parse(second?.[2] ?? ""));
    expect([paid.status, paid.body.status]).toEqual([200, "confirmed"]);
    const after = await browser.open(PATH);
    expect(after.text).not.toContain("No payment at the sandbox yet");
    expect(after.text).toContain(`/dashboard/payments/${made.body.id}`);
  });

  it("shows what moved there, and every token with what it does", async () => {
    const { browser, post } = await aShop();
    const { body } = await post("/api/v1/payments", { ...ORDER, amount: 50, provider: "sandbox" });
    await post(`/api/v1/payments/${body.id}/confirm`, { payment_method: "test_refund_fails" });
    await post(`/api/v1/payments/${body.id}/refunds`, { amount: 20 });
    const { text } = await browser.open(PATH);
    const shown = text.replaceAll(/<[^>]*>/g, "").replaceAll(/\s+/g, " ");
    expect(shown).toContain("Capture of $50.00 succeeded");
    expect(shown).toContain("Refund of $20.00 failed");
    for (const [token, { does }] of Object.entries(TOKENS)) {
      expect(textOf(text)).toContain(`<code>${token}</code>`);
      expect(textOf(text)).toContain(does);
    }
  });

  it("is not there where the operator allows none", async () => {
    const { browser } = await aShop();
    const closed = new Browser({ ...env, SANDBOX: "no" });
    for (const [name, value] of browser.cookies) closed.cookies.set(name, value);
    const page = await closed.open("/dashboard");
    expect(page.status).toBe(200);
    expect(page.text).not.toContain(PATH);
    expect((await closed.open(PATH)).status).toBe(404);
    expect((await browser.open("/dashboard")).text).toContain(PATH);
  });
});
