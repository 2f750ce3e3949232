import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { SCOPE_NAMES } from "../../../src/scopes";
import { administrator, client, newKey, ORDER, paymentIn } from "../client";
import { instrumentD1 } from "../d1";
import { envWithD1 } from "../objects";
import { newMerchant } from "../payment-list";

const databaseBytes = async () => (await env.DB.prepare("SELECT 1").run()).meta.size_after;

async function storedBytes(merchant: number): Promise<number> {
  const { body } = await administrator().request<{ stored_bytes: number }>("GET", `/api/v1/merchants/${merchant}`);
  return body.stored_bytes;
}

describe("stored_bytes of a merchant", () => {
  it("is what its payments take of the database, about", async () => {
    const { id, api } = await newMerchant();
    expect(await storedBytes(id)).toBe(0);
    const before = await databaseBytes();
    for (let n = 0; n < 200; n++) {
      const metadata = n % 4 === 0 ? { cart: `c-${n}`, note: "n".repeat(400) } : {};
      const { body } = await api.create({ ...ORDER, metadata }, crypto.randomUUID());
      if (n % 2 === 0) await api.run(body.id, "confirm", crypto.randomUUID());
      if (n % 3 === 0) await api.run(body.id, "fail");
    }
    const ratio = (await storedBytes(id)) / ((await databaseBytes()) - before);
    expect(ratio).toBeGreaterThan(0.8);
    expect(ratio).toBeLessThan(1.25);
  });

  it("is its own, and counts what changed something only", async () => {
    const [one, other] = [await newMerchant(), await newMerchant()];
    const { id } = (await one.api.create(ORDER, "first")).body;
    const stored = await storedBytes(one.id);
    await one.api.create(ORDER, "first");
    await one.api.run(id, "refund");
    await other.api.create(ORDER);
    expect(await storedBytes(one.id)).toBe(stored);
    await one.api.run(id, "confirm");
    expect(await storedBytes(one.id)).toBeGreaterThan(stored);
  });
});

describe("a database of which so much is used", () => {
  /** What creations and renamings change. */
  async function tables() {
    const names = ["merchants", "api_keys", "webhook_endpoints", "account_events"];
    const all = await env.DB.batch(names.map((name) => env.DB.prepare(`SELECT * FROM ${name}`)));
    return all.map(({ results }) => results);
  }

  /** A service whose database may hold so much, relative to what it has, and that has heard from it. */
  async function serviceWith(used: number, key?: string) {
    // As it is now: a page that a test has added is more than the percent between two of these.
    const size = await databaseBytes();
    // Each service has a binding of its own, whose size it does not know yet.
    const api = client(
      {
        ...envWithD1(instrumentD1(env.DB, (roundTrip) => roundTrip())),
        DATABASE_MAX_BYTES: String(Math.round(size / used)),
      },
      { outages: true, ...(key && { key }) },
    );
    await api.get(1);
    return api;
  }

  it("94 %: takes new payments", async () => {
    expect((await (await serviceWith(0.94)).create(ORDER)).status).toBe(201);
  });

  it("96 %: takes no new payment, and what exists goes on", async () => {
    const key = crypto.randomUUID();
    const { body: pending } = await client().create(ORDER, key);
    const api = await serviceWith(0.96);
    const refused = await api.create(ORDER);
    expect([refused.status, refused.body.type]).toEqual([507, "/problems/storage-full"]);
    const replay = await api.create(ORDER, key);
    expect([replay.status, replay.replayed, replay.body]).toEqual([200, true, pending]);
    expect((await api.create({ ...ORDER, order_id: 7 }, key)).status).toBe(409);
    expect((await api.run(pending.id, "confirm")).status).toBe(200);
  });

  it("94 % and 96 %: takes what creates or renames, and none of that; what ends, rolls or switches goes on", async () => {
    const [merchant, other] = [(await newMerchant()).id, (await newMerchant()).id];
    const url = "https://shop.example.com/webhooks";
    // Of this merchant, which has no payments: nothing is sent to its endpoints.
    const apiKey = await newKey(SCOPE_NAMES, merchant);
    const every = client(undefined, { key: apiKey });
    const made = async (path: string, body: object) =>
      (await every.request<{ id: string }>("POST", path, { body })).body.id;
    const newApiKey = { name: "Shop", scopes: ["payments:read"] };
    const key = await made("/api/v1/api-keys", newApiKey);
    const endpoint = await made("/api/v1/webhook-endpoints", { url });
    const growing: [method: string, path: string, body: object][] = [
      ["POST", "/api/v1/merchants", { name: "Another" }],
      ["PATCH", `/api/v1/merchants/${merchant}`, { name: "Renamed" }],
      ["POST", "/api/v1/api-keys", newApiKey],
      ["PATCH", `/api/v1/api-keys/${key}`, { name: "Renamed" }],
      ["POST", "/api/v1/webhook-endpoints", { url }],
      ["PATCH", `/api/v1/webhook-endpoints/${endpoint}`, { url: `${url}/2` }],
      ["PATCH", `/api/v1/webhook-endpoints/${endpoint}`, { types: ["payment.created"], enabled: true }],
      ["PATCH", `/api/v1/webhook-endpoints/${endpoint}`, { all_types: true }],
    ];
    const ask = (api: typeof every, [method, path, body]: (typeof growing)[number]) =>
      api.request(method, path, { body });
    const full = await serviceWith(0.96, apiKey);
    const before = await tables();
    for (const request of growing) {
      const { status, body } = await ask(full, request);
      expect([request, status, body.type]).toEqual([request, 507, "/problems/storage-full"]);
    }
    // Nothing is said of that before the request is authorised and valid.
    expect((await ask(full, ["POST", "/api/v1/merchants", {}])).status).toBe(422);
    expect(await tables()).toEqual(before);
    for (const [path, body, status] of [
      [`/api/v1/api-keys/${key}/roll`, { overlap_seconds: 60 }, 201],
      [`/api/v1/api-keys/${key}/revoke`, undefined, 200],
      [`/api/v1/webhook-endpoints/${endpoint}/roll`, { overlap_seconds: 0 }, 201],
      [`/api/v1/merchants/${other}/disable`, undefined, 200],
      [`/api/v1/merchants/${other}/enable`, undefined, 200],
    ] as const) {
      expect([path, (await full.request("POST", path, { body })).status]).toEqual([path, status]);
    }
    for (const enabled of [false, true]) {
      const { status } = await ask(full, ["PATCH", `/api/v1/webhook-endpoints/${endpoint}`, { enabled }]);
      expect([enabled, status]).toEqual([enabled, 200]);
    }
    expect((await full.request("DELETE", `/api/v1/webhook-endpoints/${endpoint}`)).status).toBe(204);
    const second = await made("/api/v1/webhook-endpoints", { url });
    // A service each: what one adds to so small a database is more than the percent that is left.
    for (const [method, path, body] of growing) {
      const { status } = await ask(await serviceWith(0.94, apiKey), [
        method,
        path.replace(/\/webhook-endpoints\/.*/, `/webhook-endpoints/${second}`),
        body,
      ]);
      expect([path, status]).toEqual([path, method === "POST" ? 201 : 200]);
    }
  });
});

describe.each(["D1_ERROR: database or disk is full: SQLITE_FULL", "D1_ERROR: Exceeded maximum DB size"])(
  "a D1 that says %j",
  (text) => {
    it("is no outage: a creation and an action are a 507, with a log line of their own", async () => {
      const logged = vi.spyOn(console, "error").mockImplementation(() => {});
      const { id } = await paymentIn("pending");
      const api = client(envWithD1(instrumentD1(env.DB, () => Promise.reject(new Error(text)))), { outages: true });
      for (const { status, body } of [await api.create(ORDER), await api.run(id, "confirm")]) {
        expect([status, body.type]).toEqual([507, "/problems/storage-full"]);
      }
      const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)).message);
      logged.mockRestore();
      expect(lines).toEqual(["database full", "database full"]);
      expect((await client().get(id)).body.status).toBe("pending");
    });
  },
);
