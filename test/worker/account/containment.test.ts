/** A stolen key can be contained: what it created ends with it, its merchant can be disabled, and what it can mint has an end. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES, type Scope } from "../../../src/scopes";
import { administrator, client, newKey, newMerchant, ORDER, paymentIn } from "../client";
import { losesNth, meterD1 } from "../d1";
import { envWithD1 } from "../objects";

interface ApiKey {
  id: string;
  key: string;
  status: string;
  created_by: string | null;
  revoked_at: string | null;
}

const KEYS = "/api/v1/api-keys";
const MERCHANTS = "/api/v1/merchants";
const admin = administrator();
const as = (key: string) => client(undefined, { key });
const idOf = (key: string) => publicId(key) ?? "";

/** A new key that a key creates. */
async function child(parent: string, scopes: Scope[] = ["keys:manage", "payments:read"], more: object = {}) {
  const { status, body } = await as(parent).request<ApiKey>("POST", KEYS, { body: { name: "child", scopes, ...more } });
  expect(status).toBe(201);
  return body;
}

const statusOf = async (id: string) => (await admin.request<ApiKey>("GET", `${KEYS}/${id}`)).body.status;
const revoke = (id: string, api = admin) => api.request<ApiKey>("POST", `${KEYS}/${id}/revoke`);
const mayRead = async (key: string, inside?: Env) => {
  const { status } = await client(inside, { key }).request("GET", "/api/v1/payments?limit=1");
  expect(status).toBeOneOf([200, 401]);
  return status === 200;
};

/** The events of a key, and who is named in them. */
async function trail(id: string) {
  const { results } = await env.DB.prepare(
    "SELECT type, data, key_id, request_id FROM account_events WHERE subject = ? ORDER BY id",
  )
    .bind(id)
    .all<{ type: string; data: string }>();
  return results;
}

describe("created_by", () => {
  it("names the key that created or rolled a key; the administrator's has no name", async () => {
    const parent = await newKey(SCOPE_NAMES, await newMerchant());
    expect((await admin.request<ApiKey>("GET", `${KEYS}/${idOf(parent)}`)).body.created_by).toBeNull();
    const made = await child(parent);
    expect(made.created_by).toBe(idOf(parent));
    const rolled = await as(made.key).request<ApiKey>("POST", `${KEYS}/${made.id}/roll`, {
      body: { overlap_seconds: 60 },
    });
    expect(rolled.body.created_by).toBe(made.id);
    const byAdmin = await admin.request<ApiKey>("POST", `${KEYS}/${made.id}/roll`, { body: { overlap_seconds: 60 } });
    expect(byAdmin.body.created_by).toBeNull();
    const list = await as(parent).request<{ data: ApiKey[] }>("GET", KEYS);
    expect(list.body.data.map((key) => key.created_by).sort()).toEqual([idOf(parent), made.id, null, null].sort());
  });
});

describe("a revocation", () => {
  it("reaches all that the key created, and that these did, and nothing else", async () => {
    const merchant = await newMerchant();
    const [stolen, other] = [await newKey(SCOPE_NAMES, merchant), await newKey(SCOPE_NAMES, merchant)];
    const one = await child(stolen);
    const two = await child(one.key);
    const three = await child(two.key);
    const beside = await child(other);
    const rolled = await as(three.key).request<ApiKey>("POST", `${KEYS}/${three.id}/roll`, {
      body: { overlap_seconds: 0 },
    });
    const family = [stolen, one.key, two.key, rolled.body.key];
    for (const key of [...family, other, beside.key]) expect(await mayRead(key)).toBe(true);
    const { status, body } = await revoke(idOf(stolen));
    expect([status, body.status]).toEqual([200, "revoked"]);
    // At once here, where they were remembered.
    for (const key of family) expect(await mayRead(key)).toBe(false);
    for (const { id } of [one, two, three, rolled.body]) expect(await statusOf(id)).toBe("revoked");
    for (const key of [other, beside.key]) expect(await mayRead(key)).toBe(true);
  });

  it("has its event for each key, of which the first names who asked for it", async () => {
    const stolen = await newKey(SCOPE_NAMES, await newMerchant());
    const one = await child(stolen);
    const two = await child(one.key);
    await admin.request("POST", `${KEYS}/${idOf(stolen)}/revoke`, { headers: { "X-Request-Id": "contain-it" } });
    const said = { type: "api_key.revoked", key_id: idOf(env.ADMIN_KEY ?? ""), request_id: "contain-it" };
    expect((await trail(idOf(stolen))).at(-1)).toEqual({ ...said, data: "{}" });
    for (const { id } of [one, two]) {
      expect((await trail(id)).at(-1)).toEqual({ ...said, data: JSON.stringify({ revoked_with: idOf(stolen) }) });
    }
    // Asked again it changes, and says, nothing more.
    await revoke(idOf(stolen));
    expect(await trail(one.id)).toHaveLength(2);
  });

  it("leaves one alone that was revoked before, with what had ended with it", async () => {
    const stolen = await newKey(SCOPE_NAMES, await newMerchant());
    const one = await child(stolen);
    const two = await child(one.key);
    await revoke(one.id);
    const ended = await Promise.all(
      [one, two].map(async ({ id }) => (await admin.request("GET", `${KEYS}/${id}`)).body),
    );
    const said = [await trail(one.id), await trail(two.id)];
    expect(ended).toMatchObject([{ status: "revoked" }, { status: "revoked" }]);
    await revoke(idOf(stolen));
    expect(
      await Promise.all([one, two].map(async ({ id }) => (await admin.request("GET", `${KEYS}/${id}`)).body)),
    ).toEqual(ended);
    expect([await trail(one.id), await trail(two.id)]).toEqual(said);
  });

  it("goes on by way of a key that has expired, and of one that was rolled", async () => {
    const stolen = await newKey(SCOPE_NAMES, await newMerchant());
    const expired = await child(stolen);
    const ofExpired = await child(expired.key);
    await env.DB.prepare("UPDATE api_keys SET expires_at = 1 WHERE id = ?").bind(expired.id).run();
    const rolled = await child(stolen);
    const ofRolled = await child(rolled.key);
    await as(stolen).request("POST", `${KEYS}/${rolled.id}/roll`, { body: { overlap_seconds: 0 } });
    expect([await statusOf(expired.id), await statusOf(rolled.id)]).toEqual(["expired", "expired"]);
    for (const { key } of [ofExpired, ofRolled]) expect(await mayRead(key)).toBe(true);
    await revoke(idOf(stolen));
    for (const { id, key } of [ofExpired, ofRolled])
      expect([await statusOf(id), await mayRead(key)]).toEqual(["revoked", false]);
  });

  it("reads no key that was revoked before, and no endpoint that was deleted", async () => {
    /** The rows that a revocation reads and writes, of a key with one child and so many of either that are gone. */
    async function rowsWith(gone: number) {
      const merchant = await newMerchant();
      const stolen = await newKey(SCOPE_NAMES, merchant);
      const living = await child(stolen);
      for (const creator of [idOf(stolen), living.id]) {
        const numbers = JSON.stringify(Array.from({ length: gone }, (_, n) => n));
        await env.DB.batch([
          env.DB.prepare(`
            INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_by, created_at, revoked_at)
            SELECT substr(?2, 1, 8) || printf('%04d', value), ?1, 'x', '["payments:read"]', printf('%064d', value), ?2, 1, 2
            FROM json_each(?3)`).bind(merchant, creator, numbers),
          env.DB.prepare(`
            INSERT INTO webhook_endpoints (merchant_id, url, url_set_by, created_at, updated_at, deleted_at)
            SELECT ?1, 'https://shop.example.com/', ?2, 1, 1, 2 FROM json_each(?3)`).bind(merchant, creator, numbers),
        ]);
      }
      const meter = meterD1(env.DB);
      const revoked = await revoke(idOf(stolen), client(envWithD1(meter.db), { key: env.ADMIN_KEY ?? "" }));
      expect([revoked.status, await statusOf(living.id)]).toEqual([200, "revoked"]);
      return [meter.trips, meter.rowsRead, meter.rowsWritten] as const;
    }
    // Some 55 rows, a few more or less by what lies beside them in an index; 1,000 keys and 1,000 endpoints are gone.
    for (const [trips, read, written] of [await rowsWith(0), await rowsWith(500)]) {
      expect([trips, written]).toEqual([2, 10]);
      expect(read).toBeLessThan(90);
    }
  });

  it("crosses merchants, where an administrator's key had created there", async () => {
    const [merchant, victim] = [await newMerchant(), await newMerchant()];
    const stolen = await newKey(SCOPE_NAMES, merchant);
    const there = await child(stolen, ["payments:read"], { merchant_id: victim });
    await revoke(idOf(stolen));
    expect(await statusOf(there.id)).toBe("revoked");
  });

  it("of the own key, and when the answer was lost, is a success with all of it", async () => {
    for (const n of [2, 3]) {
      const stolen = await newKey(SCOPE_NAMES, await newMerchant());
      const one = await child(stolen);
      const lossy = client(envWithD1(losesNth(env.DB, n)), { key: stolen });
      const { status, body } = await revoke(idOf(stolen), lossy);
      expect([status, body.status]).toEqual([200, "revoked"]);
      expect(await statusOf(one.id)).toBe("revoked");
      expect(await trail(one.id)).toHaveLength(2);
    }
  });

  it("wins against a key that mints while it is revoked: none of them is left", async () => {
    const stolen = await newKey(SCOPE_NAMES, await newMerchant());
    const api = as(stolen);
    const body = { name: "more", scopes: ["keys:manage", "payments:read"] };
    const minting = Array.from({ length: 40 }, () => api.request<ApiKey>("POST", KEYS, { body }));
    const [revoked, ...minted] = await Promise.all([revoke(idOf(stolen)), ...minting]);
    expect(revoked.status).toBe(200);
    for (const { status, body: made } of minted) {
      expect(status).toBeOneOf([201, 401]);
      if (status === 201) expect(await statusOf(made.id)).toBe("revoked");
    }
  });

  it("of a key that has also expired is a revocation", async () => {
    const key = await newKey(["payments:read"], await newMerchant());
    await revoke(idOf(key));
    await env.DB.prepare("UPDATE api_keys SET expires_at = 1 WHERE id = ?").bind(idOf(key)).run();
    expect(await statusOf(idOf(key))).toBe("revoked");
    expect(await mayRead(key)).toBe(false);
    const expired = await newKey(["payments:read"], await newMerchant());
    await env.DB.prepare("UPDATE api_keys SET expires_at = 1 WHERE id = ?").bind(idOf(expired)).run();
    expect((await revoke(idOf(expired))).body.status).toBe("revoked");
  });
});

describe("a merchant that is disabled", () => {
  const disable = (id: number, key?: string) =>
    admin.request<Record<string, unknown>>("POST", `${MERCHANTS}/${id}/disable`, {
      headers: key ? { "Idempotency-Key": key } : {},
    });
  const enable = (id: number) => admin.request<Record<string, unknown>>("POST", `${MERCHANTS}/${id}/enable`);

  it("says so, and since when; enabled again it does not", async () => {
    const id = await newMerchant();
    const { status, body } = await disable(id);
    expect([status, body]).toMatchObject([200, { id, status: "disabled", disabled_at: expect.any(String) }]);
    expect((await disable(id)).body).toEqual(body);
    expect((await admin.request("GET", `${MERCHANTS}/${id}`)).body).toEqual(body);
    const again = await enable(id);
    expect([again.status, again.body]).toMatchObject([200, { id, status: "active", disabled_at: null }]);
    expect((await trail(String(id))).map(({ type }) => type)).toEqual([
      "merchant.created",
      "merchant.disabled",
      "merchant.enabled",
    ]);
  });

  it("is refused whatever its keys ask, with a problem that says why, and nobody else is", async () => {
    const id = await newMerchant();
    const key = await newKey(SCOPE_NAMES, id);
    const other = await newKey(SCOPE_NAMES, await newMerchant());
    const { id: payment } = await paymentIn("pending", as(key));
    await disable(id);
    for (const [method, path, body] of [
      ["GET", "/api/v1/payments", undefined],
      ["POST", "/api/v1/payments", ORDER],
      ["POST", `/api/v1/payments/${payment}/confirm`, undefined],
      ["GET", KEYS, undefined],
      ["POST", KEYS, { name: "x", scopes: ["payments:read"] }],
      ["POST", `${MERCHANTS}/${id}/enable`, undefined],
    ] as const) {
      const answer = await as(key).request(method, path, { body });
      expect([answer.status, answer.body]).toMatchObject([
        403,
        { type: "/problems/merchant-disabled", detail: "The merchant of this API key is disabled" },
      ]);
    }
    expect(await mayRead(other)).toBe(true);
    await enable(id);
    expect((await as(key).get(payment)).body.status).toBe("pending");
  });

  it("is felt within 30 seconds elsewhere, and so is its return", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const id = await newMerchant();
    const key = await newKey(["payments:read"], id);
    const meter = meterD1(env.DB);
    const elsewhere = client(envWithD1(meter.db), { key });
    const ask = async () => (await elsewhere.request("GET", "/api/v1/payments")).status;
    expect(await ask()).toBe(200);
    await disable(id);
    vi.setSystemTime(now + 29_999);
    expect(await ask()).toBe(200);
    vi.setSystemTime(now + 30_000);
    expect(await ask()).toBe(403);
    const { trips } = meter;
    for (let n = 0; n < 10; n++) expect(await ask()).toBe(403);
    expect(meter.trips).toBe(trips);
    await enable(id);
    vi.setSystemTime(now + 60_000);
    expect(await ask()).toBe(200);
    vi.useRealTimers();
  });

  it("does not bring back a key that was revoked meanwhile", async () => {
    const id = await newMerchant();
    const key = await newKey(["payments:read"], id);
    await disable(id);
    await revoke(idOf(key));
    await enable(id);
    expect(await mayRead(key)).toBe(false);
  });

  it("is a matter for administrators, of merchants that there are, once for an idempotency key", async () => {
    const id = await newMerchant();
    const key = await newKey(
      SCOPE_NAMES.filter((scope) => scope !== "admin"),
      id,
    );
    expect((await as(key).request("POST", `${MERCHANTS}/${id}/disable`)).status).toBe(403);
    expect((await disable(9_007_199_254_740_991)).status).toBe(404);
    expect((await admin.request("POST", `${MERCHANTS}/0/enable`)).status).toBe(422);
    const name = crypto.randomUUID();
    expect((await disable(id, name)).replayed).toBe(false);
    await enable(id);
    // A replay says what is, and does nothing.
    const replay = await disable(id, name);
    expect([replay.replayed, replay.body.status]).toEqual([true, "active"]);
    expect((await disable(await newMerchant(), name)).status).toBe(409);
  });
});

describe("a merchant's active keys", () => {
  // Enough for every program of a shop and every roll between them; few enough to be looked through.
  const MOST = 100;

  /** A merchant with so many active keys, one of which has every scope, and some that are not active. */
  async function crowded(count: number) {
    const merchant = await newMerchant();
    const key = await newKey(SCOPE_NAMES, merchant);
    const insert = `
      INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_at, expires_at, revoked_at)
      SELECT printf('%04d%08d', ?1, value), ?1, 'x', '["payments:read"]', printf('%064d', value), 1, ?3, ?4
      FROM generate_series(1, ?2)`;
    const add = (from: number, n: number, expires: number | null, revoked: number | null) =>
      env.DB.prepare(insert.replace("generate_series(1, ?2)", "json_each(?2)"))
        .bind(merchant, JSON.stringify(Array.from({ length: n }, (_, at) => from + at)), expires, revoked)
        .run();
    await add(1, count - 1, null, null);
    await add(1_000, 150, 1, null);
    await add(2_000, 150, null, 1);
    return { merchant, key, api: as(key) };
  }

  const body = { name: "more", scopes: ["payments:read"] };

  it("are at most 100", async () => {
    const { merchant, api, key } = await crowded(MOST - 1);
    expect((await api.request("POST", KEYS, { body })).status).toBe(201);
    for (const answer of [
      await api.request("POST", KEYS, { body }),
      await admin.request("POST", KEYS, { body: { ...body, merchant_id: merchant } }),
      await api.request("POST", `${KEYS}/${idOf(key)}/roll`, { body: { overlap_seconds: 60 } }),
    ]) {
      expect([answer.status, answer.body]).toMatchObject([
        409,
        { type: "/problems/too-many-api-keys", detail: "The merchant has 100 active API keys, as many as it may have" },
      ]);
    }
    // Without an overlap, one goes as the other comes.
    const rolled = await api.request<ApiKey>("POST", `${KEYS}/${idOf(key)}/roll`, { body: { overlap_seconds: 0 } });
    expect(rolled.status).toBe(201);
    expect((await as(rolled.body.key).request("POST", KEYS, { body })).status).toBe(409);
    await revoke(`${String(merchant).padStart(4, "0")}00000001`);
    expect((await as(rolled.body.key).request("POST", KEYS, { body })).status).toBe(201);
  });

  it("are at most 100 however many ask at once", async () => {
    const { merchant, api } = await crowded(MOST - 3);
    const answers = await Promise.all(Array.from({ length: 10 }, () => api.request("POST", KEYS, { body })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, ...Array(7).fill(409)]);
    const active = env.DB.prepare(
      "SELECT count(*) AS n FROM api_keys WHERE merchant_id = ? AND revoked_at IS NULL AND expires_at IS NULL",
    );
    expect(await active.bind(merchant).first("n")).toBe(100);
  });

  it("are counted without a look at those that have ended", async () => {
    const { key } = await crowded(5);
    const meter = meterD1(env.DB);
    expect((await client(envWithD1(meter.db), { key }).request("POST", KEYS, { body })).status).toBe(201);
    // 300 have ended. What is read is the acting key three times, the active ones, and what is written.
    expect(meter.rowsRead).toBeLessThan(60);
  });
});

describe("the administrator", () => {
  it("has idempotency keys of its own, which are not merchant 1's", async () => {
    const name = crypto.randomUUID();
    const headers = { "Idempotency-Key": name };
    const mine = await admin.request("POST", MERCHANTS, { body: { name: "Shop" }, headers });
    expect(mine.status).toBe(201);
    const ofMerchant1 = await as(await newKey()).request("POST", KEYS, {
      body: { name: "x", scopes: ["payments:read"] },
      headers,
    });
    expect([ofMerchant1.status, ofMerchant1.replayed]).toEqual([201, false]);
    expect((await admin.request("POST", MERCHANTS, { body: { name: "Shop" }, headers })).body).toEqual(mine.body);
  });

  it("names the merchant whose keys it means", async () => {
    const errors = (place: object) => [
      { detail: "Required with the administrator's key: it is no merchant's", ...place },
    ];
    const made = await admin.request("POST", KEYS, { body: { name: "x", scopes: ["payments:read"] } });
    expect([made.status, made.body.errors]).toEqual([422, errors({ pointer: "#/merchant_id" })]);
    const list = await admin.request("GET", KEYS);
    expect([list.status, list.body.errors]).toEqual([422, errors({ parameter: "merchant_id" })]);
  });
});
