import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES } from "../../../src/scopes";
import { administrator, type Client, client, newKey, newMerchant } from "../client";
import { type Meter, meterD1 } from "../d1";
import { envWithD1 } from "../objects";

interface AccountEvent {
  id: number;
  type: string;
  timestamp: string;
  merchant_id: number;
  subject: string;
  data: Record<string, unknown>;
  request_id: string;
  key_id: string | null;
}

interface List {
  data: AccountEvent[];
  has_more: boolean;
  next_cursor: string | null;
  previous_cursor: string | null;
  errors?: object[];
}

const EVENTS = "/api/v1/account-events";
const admin = administrator();

/** A merchant of its own with a client of all its scopes, but for the administrator's. */
async function newShop() {
  const id = await newMerchant();
  const key = await newKey(
    SCOPE_NAMES.filter((scope) => scope !== "admin"),
    id,
  );
  return { id, key, keyId: publicId(key) ?? "", api: client(undefined, { key }) };
}

async function list(api: Client, query: Record<string, string> = {}): Promise<List> {
  const { status, body } = await api.request<List>("GET", `${EVENTS}?${new URLSearchParams(query)}`);
  expect(status, JSON.stringify(body)).toBe(200);
  return body;
}

/** Every page from the newest on, or from a cursor, in one direction. */
async function walk(api: Client, query: Record<string, string>): Promise<AccountEvent[][]> {
  const pages: AccountEvent[][] = [];
  for (let cursor: string | null = null; ; ) {
    const page: List = await list(api, { ...query, ...(cursor !== null && { cursor }) });
    pages.push(page.data);
    expect(page.has_more).toBe(page.next_cursor !== null);
    if (page.next_cursor === null) return pages;
    cursor = page.next_cursor;
  }
}

/** Writes events of a merchant: the nth of these times and types; the ids are in the same order. */
async function record(merchant: number, events: readonly { at: number; type: string }[]): Promise<void> {
  await env.DB.prepare(
    `INSERT INTO account_events (merchant_id, type, subject, data, actor_merchant_id, request_id, commit_id, created_at)
     SELECT ?1, value ->> 'type', '1', '{}', 0, 'r', ?2 || key, value ->> 'at' FROM json_each(?3)`,
  )
    .bind(merchant, crypto.randomUUID(), JSON.stringify(events))
    .run();
}

describe("what an event says", () => {
  it("is who changed what, in which request: of merchants, keys and endpoints, newest first", async () => {
    const { id, keyId, api } = await newShop();
    const adminId = publicId(env.ADMIN_KEY ?? "");
    const asAdmin = (method: string, path: string, body?: object) =>
      admin.request<{ id: string }>(method, path, { ...(body && { body }) });
    await asAdmin("PATCH", `/api/v1/merchants/${id}`, { name: "Renamed" });
    const end = "2100-01-01T00:00:00.000Z";
    const { body: key } = await api.request<{ id: string }>("POST", "/api/v1/api-keys", {
      body: { name: "Till", scopes: ["payments:read"], expires_at: end },
      headers: { "X-Request-Id": "till-1" },
    });
    await api.request("PATCH", `/api/v1/api-keys/${key.id}`, { body: { name: "Till 2" } });
    await api.request("POST", `/api/v1/api-keys/${key.id}/revoke`);
    const url = "https://shop.example.com/hooks";
    const { body: endpoint } = await api.request("POST", "/api/v1/webhook-endpoints", {
      body: { url: `${url}?token=secret`, types: ["payment.refunded"] },
    });
    await api.request("PATCH", `/api/v1/webhook-endpoints/${endpoint.id}`, { body: { url: `${url}?token=other` } });
    await api.request("DELETE", `/api/v1/webhook-endpoints/${endpoint.id}`);

    const { data } = await list(api);
    const [merchant, hook] = [String(id), String(endpoint.id)];
    expect(data.map(({ type, subject, data, key_id }) => [type, subject, data, key_id])).toEqual([
      ["webhook_endpoint.deleted", hook, {}, keyId],
      ["webhook_endpoint.updated", hook, { url: `${url}?…` }, keyId],
      ["webhook_endpoint.created", hook, { url: `${url}?…`, types: ["payment.refunded"] }, keyId],
      ["api_key.revoked", key.id, {}, keyId],
      ["api_key.renamed", key.id, { name: "Till 2" }, keyId],
      ["api_key.created", key.id, { name: "Till", scopes: ["payments:read"], expires_at: end }, keyId],
      ["merchant.renamed", merchant, { name: "Renamed" }, adminId],
      ["api_key.created", keyId, expect.objectContaining({ name: "test", expires_at: null }), adminId],
      ["merchant.created", merchant, { name: "Shop" }, adminId],
    ]);
    expect(data.find(({ subject, type }) => subject === key.id && type === "api_key.created")).toEqual({
      id: expect.any(Number),
      type: "api_key.created",
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      merchant_id: id,
      subject: key.id,
      data: { name: "Till", scopes: ["payments:read"], expires_at: end },
      request_id: "till-1",
      key_id: keyId,
    });
  });

  it("has no secret, whatever was made, rolled or given", async () => {
    const { id, key, api } = await newShop();
    const secrets = [key];
    const { body: made } = await api.request<{ id: string; key: string }>("POST", "/api/v1/api-keys", {
      body: { name: "Till", scopes: ["payments:read"] },
      headers: { "Idempotency-Key": "idempotency-key-of-the-till" },
    });
    const rolled = await api.request<{ key: string }>("POST", `/api/v1/api-keys/${made.id}/roll`, {
      body: { overlap_seconds: 60 },
    });
    const endpoint = await api.request<{ id: number; secret: string }>("POST", "/api/v1/webhook-endpoints", {
      body: { url: "https://shop.example.com/?token=4711" },
    });
    const again = await api.request<{ secret: string }>("POST", `/api/v1/webhook-endpoints/${endpoint.body.id}/roll`, {
      body: { overlap_seconds: 60 },
    });
    secrets.push(made.key, rolled.body.key, endpoint.body.secret, again.body.secret);
    const text = JSON.stringify(await list(api, { limit: "100" }));
    expect(text).toContain("webhook_endpoint.rolled");
    expect(text).toMatch(/"previous_secret_ends_at":"2\d{3}-/);
    expect(text).toMatch(/"rolled_expires_at":"2\d{3}-/);
    const { results } = await env.DB.prepare("SELECT digest FROM api_keys WHERE merchant_id = ?").bind(id).all();
    const digests = results.map(({ digest }) => String(digest));
    const parts = secrets.flatMap((secret) => [secret, secret.split("_").at(-1) ?? ""]);
    for (const secret of [...parts, ...digests, "4711", "idempotency-key-of-the-till"]) {
      expect(secret.length).toBeGreaterThan(3);
      expect(text).not.toContain(secret);
    }
  });
});

describe("whose events are listed", () => {
  it("is the merchant's own alone, whatever its neighbours do", async () => {
    const [mine, other] = [await newShop(), await newShop()];
    await record(
      other.id,
      Array.from({ length: 30 }, (_, n) => ({ at: n + 1, type: "api_key.created" })),
    );
    const { data } = await list(mine.api, { limit: "100", type: "api_key.created,merchant.created" });
    expect(data.map(({ merchant_id, type }) => [merchant_id, type])).toEqual([
      [mine.id, "api_key.created"],
      [mine.id, "merchant.created"],
    ]);
  });

  it("is any merchant's for the administrator, who has to name it", async () => {
    const { id } = await newShop();
    expect((await list(admin, { merchant_id: String(id) })).data.map(({ type }) => type)).toEqual([
      "api_key.created",
      "merchant.created",
    ]);
    const unnamed = await admin.request<List>("GET", EVENTS);
    expect([unnamed.status, unnamed.body.errors]).toEqual([
      422,
      [{ detail: "Required with the administrator's key: it is no merchant's", parameter: "merchant_id" }],
    ]);
  });

  it("is no other merchant's for a key without admin, and nobody's without account:read", async () => {
    const [mine, other] = [await newShop(), await newShop()];
    const refused = await mine.api.request("GET", `${EVENTS}?merchant_id=${other.id}`);
    expect([refused.status, refused.body.detail]).toEqual([403, "The API key lacks the scope admin"]);
    const manager = client(undefined, { key: await newKey(["keys:manage", "webhooks:manage"], mine.id) });
    const without = await manager.request("GET", EVENTS);
    expect([without.status, without.body.detail]).toEqual([403, "The API key lacks the scope account:read"]);
  });
});

describe("pages", () => {
  const TYPES = ["api_key.created", "webhook_endpoint.disabled", "merchant.renamed"];
  /** In milliseconds; several events have one time, as those of one revocation do. */
  const START = Date.UTC(2020, 0, 1);
  const WRITTEN = Array.from({ length: 60 }, (_, n) => ({
    at: START + Math.floor(n / 4) * 1000,
    type: TYPES[n % 7 === 0 ? 1 : n % 2 === 0 ? 0 : 2] ?? "",
  }));
  let merchant: number;
  let stored: { id: number; type: string; created_at: number }[];
  beforeAll(async () => {
    merchant = await newMerchant();
    await record(merchant, WRITTEN);
    const { results } = await env.DB.prepare(
      "SELECT id, type, created_at FROM account_events WHERE merchant_id = ? ORDER BY created_at DESC, id DESC",
    )
      .bind(merchant)
      .all<{ id: number; type: string; created_at: number }>();
    stored = results;
    expect(stored).toHaveLength(61);
  });

  const at = (second: number) => new Date(START + second * 1000).toISOString();
  it.each<[string, Record<string, string>, (event: { type: string; created_at: number }) => boolean]>([
    ["all", {}, () => true],
    ["of one type", { type: "webhook_endpoint.disabled" }, ({ type }) => type === "webhook_endpoint.disabled"],
    ["of several types", { type: "merchant.renamed,api_key.created" }, ({ type }) => /renamed|key/.test(type)],
    ["from a time on", { created_from: at(5) }, ({ created_at }) => created_at >= START + 5000],
    ["up to a time", { created_to: at(5) }, ({ created_at }) => created_at <= START + 5000],
    [
      "of a type in a range of time",
      { type: "api_key.created", created_from: at(3), created_to: at(9) },
      ({ type, created_at }) => type === "api_key.created" && created_at >= START + 3000 && created_at <= START + 9000,
    ],
    ["of a time when there was nothing", { created_to: at(-1) }, () => false],
  ])("%s: what is asked, page by page, and back again", async (_, query, matches) => {
    const expected = stored.filter(matches).map(({ id }) => id);
    for (const limit of [1, 3, 7, 100]) {
      const asked = { ...query, merchant_id: String(merchant), limit: String(limit) };
      const pages = await walk(admin, asked);
      expect(pages.flat().map(({ id }) => id)).toEqual(expected);
      // Every page but the last is full: a filter makes no gaps.
      expect(pages.slice(0, -1).every((page) => page.length === limit)).toBe(true);
      if (expected.length <= limit) continue;
      let cursor = (await list(admin, { ...asked, cursor: (await list(admin, asked)).next_cursor ?? "" }))
        .previous_cursor;
      const back: number[] = [];
      for (;;) {
        const page = await list(admin, { ...asked, cursor: cursor ?? "" });
        if (page.previous_cursor === cursor) break;
        back.unshift(...page.data.map(({ id }) => id));
        cursor = page.previous_cursor;
      }
      expect(back).toEqual(expected.slice(0, limit));
    }
  });

  it.each([
    ["type", "payment.created", /^Must be one or several of merchant\.created, /],
    ["created_from", "yesterday", /^Must be an RFC 3339 time/],
    ["limit", "101", /^Must be an integer from 1 to 100$/],
    ["cursor", "W10", /^Must be a cursor from an earlier answer/],
    ["subject", "1", /^Unknown parameter$/],
  ])("refuses %s=%s", async (parameter, value, detail) => {
    const { status, body } = await admin.request<List>("GET", `${EVENTS}?merchant_id=1&${parameter}=${value}`);
    expect([status, body.errors]).toEqual([422, [{ detail: expect.stringMatching(detail), parameter }]]);
  });

  it("follow the order of the commits also where a machine's clock is behind", async () => {
    const shop = await newShop();
    const newest = await list(shop.api);
    // An event of a machine whose clock is five seconds ahead, which the reader sees before the next one is written.
    await record(shop.id, [{ at: Date.now() + 5000, type: "merchant.renamed" }]);
    const { previous_cursor } = await list(shop.api, { cursor: newest.previous_cursor ?? "" });
    await shop.api.request("PATCH", `/api/v1/api-keys/${shop.keyId}`, { body: { name: "Later" } });
    const { data } = await list(shop.api, { cursor: previous_cursor ?? "" });
    expect(data.map(({ type }) => type)).toEqual(["api_key.renamed"]);
  });

  it("follow the order of the commits for all that a revocation changes with it", async () => {
    const shop = await newShop();
    const minted = await shop.api.request<{ key: string }>("POST", "/api/v1/api-keys", {
      body: { name: "Thief", scopes: ["webhooks:manage", "events:read"] },
    });
    const thief = client(undefined, { key: minted.body.key });
    const endpoint = { body: { url: "https://shop.example.com/hooks" } };
    expect((await thief.request("POST", "/api/v1/webhook-endpoints", endpoint)).status).toBe(201);
    const newest = await list(shop.api);
    // Eight seconds ahead: less than clocks may differ.
    await record(shop.id, [{ at: Date.now() + 8000, type: "merchant.renamed" }]);
    const { previous_cursor } = await list(shop.api, { cursor: newest.previous_cursor ?? "" });
    const revoked = await shop.api.request("POST", `/api/v1/api-keys/${publicId(minted.body.key)}/revoke`);
    expect(revoked.status).toBe(200);
    const { data } = await list(shop.api, { cursor: previous_cursor ?? "" });
    expect(data.map(({ type }) => type).sort()).toEqual(["api_key.revoked", "webhook_endpoint.disabled"]);
  });

  it("have the time of now after a clock has jumped far ahead once", async () => {
    const shop = await newShop();
    await record(shop.id, [{ at: Date.now() + 86_400_000, type: "merchant.renamed" }]);
    await shop.api.request("PATCH", `/api/v1/api-keys/${shop.keyId}`, { body: { name: "Later" } });
    const { data } = await list(shop.api, { type: "api_key.renamed" });
    // Twenty seconds: the ten that clocks may differ, and a slow run of the test.
    expect(data.map(({ timestamp }) => Date.parse(timestamp) < Date.now() + 20_000)).toEqual([true]);
  });
});

it("are costly work where a type is asked for, and only there", async () => {
  const { key } = await newShop();
  const refuses: RateLimit = { limit: async () => ({ success: false }) };
  const api = client({ ...env, COSTLY_RATE: refuses }, { key });
  expect((await api.request("GET", `${EVENTS}?type=api_key.created`)).status).toBe(429);
  expect((await api.request("GET", `${EVENTS}?created_from=2026-01-01`)).status).toBe(200);
});

describe("cost", () => {
  let metered: Meter;
  let api: Client;
  let merchant: number;
  beforeAll(async () => {
    merchant = await newMerchant();
    // Two events of a rare type, each behind a thousand others.
    const events = Array.from({ length: 3000 }, (_, n) => ({
      at: 1_000_000 + n,
      type: n % 1500 === 0 ? "webhook_endpoint.disabled" : "api_key.created",
    }));
    await record(merchant, events);
    const key = await newKey(["account:read"], merchant);
    metered = meterD1(env.DB);
    api = client(envWithD1(metered.db), { key });
    await list(api);
  });

  // Twenty and one more, which says whether there are others. D1 counts a row of the index as one with its row of the
  // table; where types are asked for, it counts both, and each id twice more in the list that is made of a type's.
  it.each<[string, Record<string, string>, number, number]>([
    ["the newest", {}, 20, 21],
    ["of a rare type", { type: "webhook_endpoint.disabled" }, 2, 10],
    ["of a type that there is none of", { type: "merchant.enabled" }, 0, 4],
    ["of a range of time far back", { created_to: new Date(1_000_099).toISOString() }, 20, 21],
    [
      "of a range and two types",
      { type: "api_key.created,api_key.rolled", created_to: new Date(1_000_099).toISOString() },
      20,
      88,
    ],
  ])("%s: one round trip, and rows for what is found alone", async (_, query, found, rows) => {
    const before = { ...metered };
    const { data } = await list(api, query);
    expect([data.length, metered.trips - before.trips]).toEqual([found, 1]);
    expect(metered.rowsRead - before.rowsRead).toBeLessThanOrEqual(rows);
    expect(metered.rowsWritten - before.rowsWritten).toBe(0);
  });
});
