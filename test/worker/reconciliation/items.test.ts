/** What a person has to look at: reading, filtering, exporting and resolving it. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import type { ReconciliationItemResponse } from "../../../src/provider/reconciliation";
import { SCOPE_NAMES } from "../../../src/scopes";
import { type Body, type Client, client, newKey, newMerchant } from "../client";
import { advanceSandbox, ask, confirmedWith, eventTypesOf, resumed, api as shop } from "../operation/shop";
import { parse } from "../payment-file";

type Item = ReconciliationItemResponse;
interface Page {
  data: Item[];
  next_cursor: string | null;
  previous_cursor: string | null;
  errors?: object[];
}

const PATH = "/api/v1/reconciliation";

const ROW = {
  ...{ payment_id: 0, account: null as string | null, kind: "missing_here", reference: "pi_1", detail: "Found" },
  ...{ created_at: 1_000, resolved_at: null as number | null, resolution: null as string | null },
};

/** Stores items of a merchant, and gives their ids. */
async function store(merchantId: number, ...rows: readonly Partial<typeof ROW>[]): Promise<number[]> {
  const ids: number[] = [];
  for (const row of rows) {
    const { payment_id, account, kind, reference, detail, created_at, resolved_at, resolution } = { ...ROW, ...row };
    const made = await env.DB.prepare(
      `INSERT INTO reconciliation_items (merchant_id, payment_id, account, kind, reference, detail, created_at, resolved_at, resolution)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
    )
      .bind(merchantId, payment_id, account, kind, reference, detail, created_at, resolved_at, resolution)
      .first<number>("id");
    ids.push(made ?? 0);
  }
  return ids;
}

async function newShop() {
  const merchantId = await newMerchant();
  const key = await newKey(
    SCOPE_NAMES.filter((scope) => scope !== "admin"),
    merchantId,
  );
  return { merchantId, keyId: publicId(key) ?? "", api: client(undefined, { key }) };
}

const list = (api: Client, query = "") => api.request<Page>("GET", `${PATH}${query}`);
const get = (api: Client, id: number) => api.request<Item>("GET", `${PATH}/${id}`);
const resolve = (api: Client, id: number, resolution = "Given back at the provider") =>
  api.request<Item & Body>("POST", `${PATH}/${id}/resolve`, { body: { resolution } });

describe("the list", () => {
  it("is newest first, page by page, and of the merchant alone", async () => {
    const { merchantId, api } = await newShop();
    const ids = await store(
      merchantId,
      { reference: "a", created_at: 5 },
      { reference: "b", created_at: 7 },
      { reference: "c", created_at: 7 },
      { reference: "d", created_at: 6 },
    );
    await store(await newMerchant(), { reference: "e" });
    const order = [ids[2], ids[1], ids[3], ids[0]];
    const first = (await list(api, "?limit=3")).body;
    expect(first.data.map(({ id }) => id)).toEqual(order.slice(0, 3));
    const rest = (await list(api, `?limit=3&cursor=${first.next_cursor}`)).body;
    expect([rest.data.map(({ id }) => id), rest.next_cursor]).toEqual([order.slice(3), null]);
    const back = (await list(api, `?limit=3&cursor=${rest.previous_cursor}`)).body;
    expect(back.data.map(({ id }) => id)).toEqual(order.slice(0, 3));
  });

  it("is filtered by state, kind, payment and account, all of which must match", async () => {
    const { merchantId, api } = await newShop();
    const done = { resolved_at: 9, resolution: "Seen to" };
    const [a, b, c, d] = await store(
      merchantId,
      { reference: "a", payment_id: 7, kind: "late_success", account: "stripe_3", created_at: 4 },
      { reference: "b", payment_id: 7, kind: "status_mismatch", account: "stripe_3", created_at: 3, ...done },
      { reference: "c", payment_id: 8, kind: "late_success", account: "mollie_4", created_at: 2 },
      { reference: "d", kind: "missing_here", created_at: 1, ...done },
    );
    const idsOf = async (query: string) => (await list(api, query)).body.data.map(({ id }) => id);
    expect(await idsOf("?state=open")).toEqual([a, c]);
    expect(await idsOf("?state=resolved")).toEqual([b, d]);
    expect(await idsOf("?state=open,resolved")).toEqual([a, b, c, d]);
    expect(await idsOf("?kind=late_success")).toEqual([a, c]);
    expect(await idsOf("?kind=late_success&kind=missing_here")).toEqual([a, c, d]);
    expect(await idsOf("?payment_id=7")).toEqual([a, b]);
    expect(await idsOf("?account=stripe_3")).toEqual([a, b]);
    expect(await idsOf("?account=stripe_3&state=open")).toEqual([a]);
    expect(await idsOf("?account=stripe_9")).toEqual([]);
  });

  it.each([
    ["state=done", "state"],
    ["kind=late", "kind"],
    ["account=Stripe", "account"],
    ["account=stripe_1&account=stripe_2", "account"],
    ["payment_id=0", "payment_id"],
    ["cursor=abc", "cursor"],
    ["sort=kind", "sort"],
  ])("refuses ?%s", async (query, parameter) => {
    const { status, body } = await list(shop, `?${query}`);
    expect([status, body.errors]).toMatchObject([422, [{ parameter }]]);
  });
});

describe("one item", () => {
  it("is shown with all that is known of it", async () => {
    const { merchantId, api } = await newShop();
    const [id = 0] = await store(merchantId, { account: "stripe_3", created_at: 1_000 });
    expect((await get(api, id)).body).toEqual({
      ...{ id, payment_id: null, account: "stripe_3", kind: "missing_here", reference: "pi_1", detail: "Found" },
      ...{ state: "open", created_at: "1970-01-01T00:00:01.000Z", resolved_at: null, resolved_by: null },
      resolution: null,
    });
  });

  it("is a 404 of another merchant, and where there is none", async () => {
    const { merchantId } = await newShop();
    const [id = 0] = await store(merchantId, {});
    for (const asked of [id, 9_007_199_254_740_991]) {
      expect((await get(shop, asked)).body).toMatchObject({ type: "/problems/reconciliation-item-not-found" });
      expect((await resolve(shop, asked)).body.type).toBe("/problems/reconciliation-item-not-found");
    }
    expect((await shop.request("GET", `${PATH}/0`)).status).toBe(422);
  });
});

describe("resolving", () => {
  it("records who, when and why, and is recorded in the account events", async () => {
    const { merchantId, keyId, api } = await newShop();
    const [id = 0] = await store(merchantId, {});
    const { status, body } = await resolve(api, id);
    expect([status, body]).toMatchObject([
      200,
      { id, state: "resolved", resolved_by: keyId, resolution: "Given back at the provider", detail: "Found" },
    ]);
    expect(Math.abs(Date.parse(body.resolved_at ?? "") - Date.now())).toBeLessThan(60_000);
    expect((await get(api, id)).body).toEqual(body);
    const trail = await api.request<{ data: object[] }>(
      "GET",
      "/api/v1/account-events?type=reconciliation_item.resolved",
    );
    expect(trail.body.data).toMatchObject([
      {
        subject: String(id),
        data: { resolution: "Given back at the provider" },
        key_id: keyId,
        merchant_id: merchantId,
      },
    ]);
  });

  it("changes nothing when it is asked for again, and is refused with other words", async () => {
    const { merchantId, api } = await newShop();
    const [id = 0] = await store(merchantId, {});
    const { body } = await resolve(api, id);
    expect(await resolve(api, id)).toMatchObject({ status: 200, body });
    const other = await resolve(api, id, "Something else");
    expect([other.status, other.body.type]).toEqual([409, "/problems/reconciliation-item-resolved"]);
    expect((await get(api, id)).body).toEqual(body);
    const trail = await api.request<{ data: object[] }>(
      "GET",
      "/api/v1/account-events?type=reconciliation_item.resolved",
    );
    expect(trail.body.data.length).toBe(1);
  });

  it("is done by one of many at once", async () => {
    const { merchantId, api } = await newShop();
    const [id = 0] = await store(merchantId, {});
    const answers = await Promise.all(["a", "b", "c", "d"].map((words) => resolve(api, id, words)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409]);
  });

  it.each([
    ["nothing", {}],
    ["an empty text", { resolution: "" }],
    ["a text that is too long", { resolution: "x".repeat(501) }],
    ["a number", { resolution: 5 }],
    ["null", { resolution: null }],
    ["a text with NUL", { resolution: "a\0b" }],
  ])("refuses %s", async (_, given) => {
    const { merchantId, api } = await newShop();
    const [id = 0] = await store(merchantId, {});
    const { status, body } = await api.request("POST", `${PATH}/${id}/resolve`, { body: given });
    expect([status, body.errors]).toMatchObject([422, [{ pointer: "#/resolution" }]]);
    expect((await get(api, id)).body.state).toBe("open");
  });

  it("takes as many characters as it says, and no card number", async () => {
    const { merchantId, api } = await newShop();
    const [id = 0] = await store(merchantId, {});
    expect((await resolve(api, id, "Card 4242 4242 4242 4242")).body.type).toBe("/problems/card-number-refused");
    expect((await resolve(api, id, "🧾".repeat(500))).status).toBe(200);
  });

  it("needs the scope payments:write", async () => {
    const { merchantId } = await newShop();
    const [id = 0] = await store(merchantId, {});
    const reader = client(undefined, { key: await newKey(["payments:read"], merchantId) });
    expect((await resolve(reader, id)).status).toBe(403);
  });
});

describe("what the provider says again", () => {
  /** A payment that was paid after it was cancelled, and its item. */
  async function paidLate(): Promise<{ id: number; item: Item }> {
    const { body } = await confirmedWith("test_paid_after_expiry");
    await ask(body.id, "cancel");
    await advanceSandbox(4_000);
    await resumed(body.id);
    const [item] = (await list(shop, `?payment_id=${body.id}`)).body.data;
    if (item === undefined) throw new Error("No item was opened");
    return { id: body.id, item };
  }

  it("leaves an item resolved while it is the same", async () => {
    const { id, item } = await paidLate();
    expect(item).toMatchObject({ payment_id: id, account: null, kind: "late_success", state: "open" });
    const { body: resolved } = await resolve(shop, item.id);
    const events = await eventTypesOf(id);
    await resumed(id);
    expect((await get(shop, item.id)).body).toEqual(resolved);
    expect(await eventTypesOf(id)).toEqual(events);
  });

  it("opens it again where it is something else, with an event that has its id", async () => {
    const { id, item } = await paidLate();
    await resolve(shop, item.id);
    // As if other words had been resolved: what the provider says now is new.
    await env.DB.prepare("UPDATE reconciliation_items SET detail = 'Other words' WHERE id = ?").bind(item.id).run();
    await resumed(id);
    const { body: again } = await get(shop, item.id);
    expect(again).toEqual(item);
    const events = await shop.request<{ data: { type: string; reconciliation_item: Item }[] }>(
      "GET",
      `/api/v1/payments/${id}/events`,
    );
    expect(events.body.data.at(-1)).toMatchObject({ type: "reconciliation.item_opened", reconciliation_item: item });
  });
});

describe("the file", () => {
  const csv = async (api: Client, query = "") => {
    const answer = await api.request<string>("GET", `${PATH}${query}`, { headers: { Accept: "text/csv" } });
    expect([answer.status, answer.headers.get("Content-Type")]).toEqual([200, "text/csv; charset=utf-8"]);
    expect(answer.headers.get("Content-Disposition")).toBe('attachment; filename="reconciliation.csv"');
    return answer;
  };

  it("has a line of names, then each item as the list shows it", async () => {
    const { merchantId, api } = await newShop();
    await store(
      merchantId,
      { reference: "a" },
      { reference: "b", resolved_at: 2_000, resolution: 'He said "done", then\nleft' },
    );
    const [head, ...records] = parse(String((await csv(api)).body));
    expect(head?.join(",")).toBe(
      "id,payment_id,account,kind,reference,detail,state,created_at,resolved_at,resolved_by,resolution",
    );
    const { data } = (await list(api)).body;
    expect(records).toEqual(
      data.map((item) => Object.values(item).map((value) => (value === null ? "" : String(value)))),
    );
    expect(parse(String((await csv(api, "?state=open")).body)).length).toBe(2);
  });

  it("has no field that a spreadsheet takes for a formula", async () => {
    const { merchantId, api } = await newShop();
    await store(merchantId, { reference: "=1+1", resolved_at: 1, resolution: '@SUM(A1);=HYPERLINK("http://a")' });
    const text = String((await csv(api)).body);
    const cells = text.split(/[,;\r\n]/).map((cell) => cell.replace(/^["\s]+/, ""));
    expect(cells.filter((cell) => /^[=+\-@]/.test(cell))).toEqual([]);
    expect(parse(text)[1]?.[4]).toBe("'=1+1");
  });

  it("leads on where it has not all", async () => {
    const { merchantId, api } = await newShop();
    await store(merchantId, { reference: "a" }, { reference: "b" }, { reference: "c" });
    const first = await csv(api, "?limit=2");
    const cursor = first.headers.get("Next-Cursor");
    const rest = await csv(api, `?limit=2&cursor=${cursor}`);
    expect([parse(String(first.body)).length, parse(String(rest.body)).length]).toEqual([3, 2]);
    expect(rest.headers.get("Next-Cursor")).toBeNull();
  });

  it("has 5,000 items, and leads on to the next ones", async () => {
    const { merchantId, api } = await newShop();
    await env.DB.prepare(
      `INSERT INTO reconciliation_items (merchant_id, payment_id, kind, reference, detail, created_at)
       WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001)
       SELECT ?, 0, 'missing_here', 'pi_' || i, 'Found', 1000 FROM n`,
    )
      .bind(merchantId)
      .run();
    const first = await csv(api);
    expect(parse(String(first.body)).length).toBe(5_001);
    const rest = await csv(api, `?cursor=${first.headers.get("Next-Cursor")}`);
    expect(parse(String(rest.body)).length).toBe(2);
  });
});
