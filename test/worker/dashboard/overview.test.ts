import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { client, newKey, ORDER } from "../client";
import { newMerchant } from "../payment-list";
import { StripeStandIn } from "../provider/stripe-stand-in";
import { signIn } from "./visitor";

/** A merchant with three payments in two currencies: two confirmed, one of them refunded, and one that has failed. */
async function aMerchant() {
  const { key, api } = await newMerchant();
  const create = async (amount: number, currency: string) =>
    (await api.create({ ...ORDER, amount, currency }, crypto.randomUUID())).body.id;
  const [paid, refunded, failed, other] = await Promise.all([
    create(1234.5, "USD"),
    create(10, "USD"),
    create(7, "USD"),
    create(500, "JPY"),
  ]);
  for (const id of [paid, refunded, other]) await api.run(id, "confirm");
  await api.run(refunded, "refund");
  await api.run(failed, "fail");
  return { key, api };
}

describe("the overview", () => {
  it("has the figures of each provider, in the currency that is shown", async () => {
    const { key, api } = await aMerchant();
    const made = await api.create({ ...ORDER, amount: 20, currency: "USD", provider: "sandbox" }, crypto.randomUUID());
    const confirmed = await client(undefined, { key }).request("POST", `/api/v1/payments/${made.body.id}/confirm`, {
      body: { payment_method: "test_ok" },
    });
    expect(confirmed.status).toBe(200);
    const visitor = await signIn(key);
    const usd = await visitor.open("/dashboard?currency=USD");
    expect(usd.text).toMatch(
      /By provider Provider Created Confirmed Captured Refunded Success rate Internal 3 2 \$1,244\.50 \$10\.00 66\.7% Sandbox 1 1 \$20\.00 \$0\.00 100% /,
    );
    const yen = await visitor.open("/dashboard?currency=JPY");
    expect(yen.text).toMatch(/Success rate Internal 1 1 ¥500 ¥0 100% /);
  });

  it("says which accounts their provider refuses, to who may see accounts", async () => {
    const stripe = new StripeStandIn();
    const { id: merchant, key } = await newMerchant();
    const visitor = await signIn(key);
    const refused: string[] = [];
    for (const name of ["Refused shop", "Disabled shop", "Working shop"]) {
      const api_key = stripe.newKey();
      const added = await visitor.fill("/dashboard/providers/new", { provider: "stripe", name, api_key });
      const [, path = ""] = /^(\/dashboard\/providers\/stripe_\d+)/.exec(added.location ?? "") ?? [];
      if (name !== "Working shop") {
        stripe.keys.delete(api_key);
        vi.spyOn(console, "error").mockImplementation(() => {});
        await visitor.send(`${path}/check`);
        refused.push(path);
      }
      if (name === "Disabled shop") await visitor.fill(`${path}/disable`);
    }
    const page = await visitor.open("/dashboard");
    expect(page.text).toContain("Stripe refuses the key of Refused shop (test) since");
    expect(page.html).toContain(`href="${refused[0]}"`);
    for (const name of ["Disabled shop", "Working shop"]) expect(page.text).not.toContain(name);
    const reader = await signIn(await newKey(["payments:read"], merchant));
    expect((await reader.open("/dashboard")).text).not.toContain("Refused shop");
    vi.restoreAllMocks();
  });

  it("says what to do first while there is no payment", async () => {
    const { key } = await newMerchant();
    const page = await (await signIn(key)).open("/dashboard");
    expect(page.status).toBe(200);
    expect(page.text).toContain("No payment yet");
    expect(page.text).toContain("POST /api/v1/payments");
  });

  it("has the figures of the currency that is used most, and those of each other one", async () => {
    const { key } = await aMerchant();
    const visitor = await signIn(key);
    const page = await visitor.open("/dashboard");
    for (const text of [
      "Volume $1,244.50",
      "Payments confirmed 2 of 3 created",
      "Success rate 66.7%",
      "Refunds $10.00 1 refund ",
    ]) {
      expect(page.text).toContain(text);
    }
    expect(page.html.match(/<svg /g)).toHaveLength(2);
    const yen = await visitor.open("/dashboard?range=today&currency=JPY");
    expect(yen.text).toContain("Volume ¥500");
    expect(yen.html).not.toContain("<svg ");
  });

  it("writes numbers as the reader does", async () => {
    const { key } = await aMerchant();
    const page = await (await signIn(key)).open("/dashboard", { "Accept-Language": "de-DE,de;q=0.9" });
    expect(page.text).toContain("Volume 1.244,50 $");
  });

  it("has every day in the table behind the charts, also those on which nothing happened", async () => {
    const { key } = await aMerchant();
    const page = await (await signIn(key)).open("/dashboard?range=month");
    expect(page.html.split('id="figures"')[1]?.match(/<th scope="row">/g)).toHaveLength(30);
  });

  it("reads what an address makes up as a week, and shows none of it", async () => {
    const { key } = await aMerchant();
    const page = await (await signIn(key)).open("/dashboard?range=<script>alert(1)</script>&currency=<b>");
    expect(page.status).toBe(200);
    expect(page.html).not.toContain("<script>alert");
    expect(page.html.split('id="figures"')[1]?.match(/<th scope="row">/g)).toHaveLength(7);
  });

  it("takes three round trips at most, also when there are events to count", async () => {
    const { key, api } = await aMerchant();
    const visitor = await signIn(key);
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    const trips: number[] = [];
    for (const _ of ["to count", "counted"]) {
      expect((await visitor.open("/dashboard")).status).toBe(200);
      const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
      trips.push(lines.filter(({ route }) => route === "/dashboard").at(-1)?.d1_trips);
      if (trips.length === 1) await api.create(ORDER, crypto.randomUUID());
    }
    logged.mockRestore();
    expect(trips.every((count) => count > 0 && count <= 3)).toBe(true);
  });

  it("leads an administrator, who reads no payment, to the merchants", async () => {
    const visitor = await signIn(env.ADMIN_KEY ?? "");
    expect((await visitor.open("/dashboard")).location).toBe("/dashboard/merchants");
  });
});
