import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { ORDER } from "../client";
import { newMerchant } from "../payment-list";
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
    expect(page.html.match(/<th scope="row">/g)).toHaveLength(30);
  });

  it("reads what an address makes up as a week, and shows none of it", async () => {
    const { key } = await aMerchant();
    const page = await (await signIn(key)).open("/dashboard?range=<script>alert(1)</script>&currency=<b>");
    expect(page.status).toBe(200);
    expect(page.html).not.toContain("<script>alert");
    expect(page.html.match(/<th scope="row">/g)).toHaveLength(7);
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
