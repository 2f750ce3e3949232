/** A merchant's heavy work: costly requests have a quota of their own, and two replays run at once. */
import { env } from "cloudflare:workers";
import type { Context } from "hono";
import { afterEach, describe, expect, it, vi } from "vitest";
import operations from "../../../docs/operations.md?raw";
import { takeLease } from "../../../src/auth/leases";
import type { App } from "../../../src/context";
import { newApp } from "../../../src/route";
import { SCOPE_NAMES } from "../../../src/scopes";
import { Database } from "../../../src/storage/database";
import { client, newKey, newMerchant } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";

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

describe("docs/operations.md says the cost of", () => {
  async function costly() {
    const { merchant, key } = await owner();
    const meter = meterD1(env.DB);
    const inside = envWithD1(meter.db);
    const endpoint = await client(inside, { key }).request("POST", "/api/v1/webhook-endpoints", {
      body: { url: "https://shop.example.com/webhooks" },
    });
    const { trips, rowsRead, rowsWritten } = meter;
    const cost = () => [meter.trips - trips, 0, meter.rowsWritten - rowsWritten, meter.rowsRead - rowsRead];
    return { merchant, key, inside, cost, replay: `/api/v1/webhook-endpoints/${endpoint.body.id}/replay` };
  }
  const stated = (operation: string) => {
    const row = operations.split("\n").find((line) => line.startsWith(`| ${operation} |`)) ?? "";
    return row.split("|").slice(2, -1).map(Number);
  };
  const RANGE = { from: "2026-01-16T00:00:00Z", to: "2026-01-17T00:00:00Z" };

  it("a third export at once", async () => {
    const { merchant, key, inside, cost } = await costly();
    await hold(merchant, 1, Date.now() + 60_000);
    await hold(merchant, 2, Date.now() + 60_000);
    const refused = await client(inside, { key }).request("GET", "/api/v1/payments", { headers: CSV });
    expect(refused.body.type).toBe("/problems/too-many-at-once");
    expect(cost()).toEqual(stated("a third export at once"));
  });

  it("a replay beyond the quota of heavy work", async () => {
    const { key, inside, cost, replay } = await costly();
    const api = client({ ...inside, HEAVY_RATE: refuses }, { key });
    expect((await api.request("POST", replay, { body: RANGE })).body.type).toBe("/problems/rate-limited");
    expect(cost()).toEqual([0, 0, 0, 0]);
    expect(cost()).toEqual(stated("a replay beyond the quota of heavy work"));
  });
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
  // A type of events is looked for among ten for each one asked for, but for those of one payment.
  expect((await api.request("GET", "/api/v1/events?type=payment.refunded")).status).toBe(429);
  for (const path of [
    "",
    "?limit=5",
    "?created_from=2026-01-16",
    "?payment_id=1",
    "?payment_id=1&type=payment.refunded",
  ]) {
    expect((await api.request("GET", `/api/v1/events${path}`)).status).toBe(200);
  }
});

/** The context of a request of a merchant, as `takeLease` uses it. */
async function requestOf(merchantId: number): Promise<Context<App>> {
  const app = newApp();
  const contexts: Context<App>[] = [];
  app.get("/", (c) => {
    c.set("principal", { merchantId, keyId: null, scopes: new Set(), expiresAt: null });
    c.set("commitId", crypto.randomUUID());
    c.set("requestId", "r");
    c.set("db", new Database(env.DB));
    contexts.push(c);
    return c.text("");
  });
  await app.request("/", {}, env);
  const [context] = contexts;
  if (!context) throw new Error("The request was not handled");
  return context;
}

describe("a lease of work that goes on", () => {
  const START = Date.UTC(2026, 0, 1);
  const SECOND_MS = 1000;
  afterEach(() => {
    vi.useRealTimers();
  });

  async function take() {
    const merchant = await newMerchant();
    const c = await requestOf(merchant);
    vi.setSystemTime(START);
    const lease = await takeLease(c);
    if (lease instanceof Response) throw new Error("The lease was refused");
    const endsAt = () =>
      env.DB.prepare("SELECT max(ends_at) AS at FROM leases WHERE merchant_id = ? AND holder = ?")
        .bind(merchant, c.get("commitId"))
        .first<number>("at");
    return { merchant, lease, endsAt, trips: () => c.get("db").cost.trips };
  }

  it("is renewed every half a minute, for a minute from then on", async () => {
    const { lease, endsAt, trips } = await take();
    expect([await endsAt(), trips()]).toEqual([START + 60 * SECOND_MS, 1]);
    vi.setSystemTime(START + 30 * SECOND_MS - 1);
    expect([await lease.renew(), trips()]).toEqual([true, 1]);
    vi.setSystemTime(START + 30 * SECOND_MS);
    expect([await lease.renew(), trips()]).toEqual([true, 2]);
    expect(await endsAt()).toBe(START + 90 * SECOND_MS);
    // Again half a minute later, and not before.
    vi.setSystemTime(START + 60 * SECOND_MS - 1);
    expect([await lease.renew(), trips()]).toEqual([true, 2]);
  });

  it("takes the other slot when its own was lost, and has ended when both are taken", async () => {
    const { merchant, lease, endsAt, trips } = await take();
    vi.setSystemTime(START + 70 * SECOND_MS);
    await hold(merchant, 1, START + 300 * SECOND_MS);
    expect([await lease.renew(), trips()]).toEqual([true, 3]);
    expect(await endsAt()).toBe(START + 130 * SECOND_MS);
    await hold(merchant, 2, START + 300 * SECOND_MS);
    vi.setSystemTime(START + 100 * SECOND_MS);
    expect(await lease.renew()).toBe(false);
    expect(await endsAt()).toBeNull();
  });
});
