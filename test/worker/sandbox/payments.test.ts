/** The list of what a merchant's account at the sandbox has in its ledger. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { SCOPE_NAMES } from "../../../src/scopes";
import { client, newKey, newMerchant, ORDER } from "../client";

const PATH = "/api/v1/sandbox/payments";
const OWN_SCOPES = SCOPE_NAMES.filter((scope) => scope !== "admin");

interface Listed {
  id: string;
  payment_id: number;
  status: string;
  payment_method: string | null;
  amount: number;
  amount_captured: number;
  currency: string;
  failure: { code: string } | null;
  captures: { amount: number; status: string }[];
  refunds: { amount: number; status: string }[];
  disputes: unknown[];
}
interface Page {
  data: Listed[];
  has_more: boolean;
  next_cursor: string | null;
  previous_cursor: string | null;
}

async function aShop() {
  const merchant = await newMerchant();
  const api = client(undefined, { key: await newKey(OWN_SCOPES, merchant) });
  const post = (path: string, body: object) =>
    api.request("POST", path, { body, headers: { "Idempotency-Key": crypto.randomUUID() } });
  const pay = async (order: object, token = "test_ok") => {
    const { body } = await post("/api/v1/payments", { ...ORDER, provider: "sandbox", ...order });
    await post(`/api/v1/payments/${body.id}/confirm`, { payment_method: token });
    return body.id;
  };
  const list = async (query = "") => (await api.request<Page>("GET", PATH + query)).body;
  return { merchant, api, post, pay, list };
}

describe("the sandbox's payments", () => {
  it("are as the ledger has them, with what moved, in major units", async () => {
    const { post, pay, list } = await aShop();
    const paid = await pay({ order_id: 1, amount: 500, currency: "JPY" });
    await post(`/api/v1/payments/${paid}/refunds`, { amount: 200 });
    const declined = await pay({ order_id: 2, amount: 12.34, currency: "EUR" }, "test_insufficient_funds");
    const { data, has_more } = await list();
    expect(has_more).toBe(false);
    expect(data).toMatchObject([
      {
        ...{ payment_id: declined, status: "declined", payment_method: "test_insufficient_funds", amount: 12.34 },
        ...{ amount_captured: 0, currency: "EUR", failure: { code: "insufficient_funds" }, captures: [], refunds: [] },
      },
      {
        ...{ payment_id: paid, status: "captured", payment_method: "test_ok", amount: 500, amount_captured: 500 },
        ...{ currency: "JPY", failure: null, captures: [{ amount: 500, status: "succeeded" }] },
        ...{ refunds: [{ amount: 200, status: "succeeded" }], disputes: [] },
      },
    ]);
  });

  it("are found page by page, in both directions, also those of one millisecond", async () => {
    const { pay, list } = await aShop();
    const ids: number[] = [];
    for (let n = 1; n <= 7; n++) ids.unshift(await pay({ order_id: n }));
    const found: number[] = [];
    let page = await list("?limit=3");
    for (let n = 0; n < 3; n++) {
      expect(page.data.length).toBeLessThanOrEqual(3);
      found.push(...page.data.map(({ payment_id }) => payment_id));
      if (page.next_cursor === null) break;
      page = await list(`?limit=3&cursor=${page.next_cursor}`);
    }
    // Payments of one millisecond are in the order of their random ids.
    expect([...found].sort()).toEqual([...ids].sort());
    const newer = await list(`?limit=3&cursor=${page.previous_cursor}`);
    expect(newer.data.map(({ payment_id }) => payment_id)).toEqual(found.slice(3, 6));
  });

  it("list no more than the newest parts of each", async () => {
    const { post, pay, list } = await aShop();
    const id = await pay({ amount: 100 });
    for (let n = 1; n <= 22; n++) await post(`/api/v1/payments/${id}/refunds`, { amount: n / 100 });
    const [{ refunds = [] } = {}] = (await list()).data;
    expect(refunds.map(({ amount }) => amount)).toEqual(Array.from({ length: 20 }, (_, n) => (n + 3) / 100));
  });

  it("are another merchant's own, and looking leaves no trace where there are none", async () => {
    const one = await aShop();
    await one.pay({});
    const other = await aShop();
    expect(await other.list()).toMatchObject({ data: [], has_more: false, next_cursor: null });
    const account = env.SANDBOX_LEDGER.getByName(String(other.merchant));
    const tables = await runInDurableObject(account, (_, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray(),
    );
    expect(tables).toEqual([]);
  });

  it("are not there where the operator allows no sandbox, and cursors of other lists are refused", async () => {
    const closed = client({ ...env, SANDBOX: "no" });
    expect((await closed.request("GET", PATH)).status).toBe(404);
    const { api, pay } = await aShop();
    await pay({});
    await pay({});
    const { body } = await api.request<Page>("GET", "/api/v1/payments?limit=1");
    expect((await api.request("GET", `${PATH}?cursor=${body.next_cursor}`)).status).toBe(422);
    expect((await api.request("GET", `${PATH}?status=captured`)).status).toBe(422);
  });
});
