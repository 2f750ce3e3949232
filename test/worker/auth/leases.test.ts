/** A merchant's heavy work: costly requests have a quota of their own, and two replays run at once. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { SCOPE_NAMES } from "../../../src/scopes";
import { client, newKey, newMerchant } from "../client";

const CSV = { Accept: "text/csv" };
const refuses: RateLimit = { limit: async () => ({ success: false }) };

async function owner() {
  const merchant = await newMerchant();
  const key = await newKey(SCOPE_NAMES, merchant);
  return { merchant, api: client(undefined, { key }), key };
}

/** As replays that are under way have them. */
const hold = (merchant: number, slot: number, endsAt: number) =>
  env.DB.prepare("INSERT OR REPLACE INTO leases (merchant_id, slot, holder, ends_at) VALUES (?, ?, ?, ?)")
    .bind(merchant, slot, crypto.randomUUID(), endsAt)
    .run();
const held = (merchant: number) =>
  env.DB.prepare("SELECT count(*) AS n FROM leases WHERE merchant_id = ?").bind(merchant).first<number>("n");

async function replaying() {
  const { merchant, api } = await owner();
  const endpoint = await api.request("POST", "/api/v1/webhook-endpoints", {
    body: { url: "https://shop.example.com/webhooks" },
  });
  const replay = () =>
    api.request("POST", `/api/v1/webhook-endpoints/${endpoint.body.id}/replay`, {
      body: { from: "2026-01-16T00:00:00Z", to: "2026-01-17T00:00:00Z" },
    });
  return { merchant, replay };
}

it("two replays of a merchant run at once, and a third is refused; other merchants' are not", async () => {
  const { merchant, replay } = await replaying();
  await hold(merchant, 1, Date.now() + 60_000);
  expect((await replay()).status).toBe(200);
  await hold(merchant, 2, Date.now() + 60_000);
  const { status, headers, body } = await replay();
  expect([status, body.type, headers.get("Retry-After")]).toEqual([429, "/problems/too-many-at-once", "5"]);
  expect((await (await replaying()).replay()).status).toBe(200);
});

it("a lease is given back at the end, and one that was lost ends by itself", async () => {
  const { merchant, replay } = await replaying();
  for (let n = 0; n < 4; n++) expect((await replay()).status).toBe(200);
  expect(await held(merchant)).toBe(0);
  await hold(merchant, 1, Date.now() - 1);
  await hold(merchant, 2, Date.now() - 1);
  expect((await replay()).status).toBe(200);
});

it("costly requests have a quota for the merchant, and cheap ones do not use it", async () => {
  const { key } = await owner();
  const api = client({ ...env, COSTLY_RATE: refuses }, { key });
  for (const path of ["?status=pending", "?metadata=a=b", "?currency=USD"]) {
    const { status, headers } = await api.request("GET", `/api/v1/payments${path}`);
    expect([status, headers.get("RateLimit-Policy")]).toEqual([429, '"costly";q=100;w=10']);
  }
  expect((await api.request("GET", "/api/v1/payments", { headers: CSV })).status).toBe(429);
  expect((await api.request("GET", "/api/v1/webhook-endpoints/1/deliveries")).status).toBe(429);
  for (const path of ["", "?order_id=1", "?created_from=2026-01-16T00:00:00Z", "?limit=5"]) {
    expect((await api.request("GET", `/api/v1/payments${path}`)).status).toBe(200);
  }
});
