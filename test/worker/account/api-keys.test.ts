import { env } from "cloudflare:workers";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { makeAdministratorKey, publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES, type Scope } from "../../../src/scopes";
import { sha256 } from "../../../src/storage/digest";
import {
  administrator,
  client,
  forgeKey,
  newKey,
  newMerchant,
  ORDER,
  paymentIn,
  unknownKey,
  wrongSecret,
} from "../client";
import { losesNth, type Meter, meterD1 } from "../d1";
import { envWithD1 } from "../objects";

interface ApiKey {
  id: string;
  merchant_id: number;
  name: string;
  scopes: Scope[];
  status: "active" | "expired" | "revoked";
  created_by: string | null;
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at: string | null;
  /** In the answer to the request that made the key. */
  key?: string;
}

interface List {
  data: ApiKey[];
  has_more: boolean;
  next_cursor: string | null;
  previous_cursor: string | null;
}

const KEYS = "/api/v1/api-keys";
const SECOND = 1000;
const HOUR = 3600 * SECOND;
const DAY_MS = 24 * HOUR;
const admin = administrator();

let merchant: number;
beforeAll(async () => {
  merchant = await newMerchant();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A client of a key, as a merchant's program has it. */
const withKey = (key: string | undefined) => client(undefined, { key });
const isLetIn = async (key: string | undefined) => {
  const { status } = await withKey(key).request("GET", "/api/v1/payments?limit=1");
  expect(status).toBeOneOf([200, 401]);
  return status === 200;
};

/** A client that may manage the keys of this file's merchant, and grant what it has. */
const manager = async (...scopes: Scope[]) => withKey(await newKey(["keys:manage", ...scopes], merchant));

const create = (api: typeof admin, body: object, key?: string) =>
  api.request<ApiKey>("POST", KEYS, { body, headers: key ? { "Idempotency-Key": key } : {} });
const roll = (api: typeof admin, id: string, body: object, key?: string) =>
  api.request<ApiKey>("POST", `${KEYS}/${id}/roll`, { body, headers: key ? { "Idempotency-Key": key } : {} });
const revoke = (api: typeof admin, id: string, key?: string) =>
  api.request<ApiKey>("POST", `${KEYS}/${id}/revoke`, { headers: key ? { "Idempotency-Key": key } : {} });
const get = (api: typeof admin, id: string) => api.request<ApiKey>("GET", `${KEYS}/${id}`);

/** A new key with what is known of it. */
async function made(scopes: readonly Scope[] = SCOPE_NAMES, more: object = {}) {
  const { status, body } = await create(admin, { name: "Order service", scopes, merchant_id: merchant, ...more });
  expect(status).toBe(201);
  const { key = "", ...shown } = body;
  return { key, shown };
}

async function count(table: "api_keys" | "account_events"): Promise<number> {
  return (await env.DB.prepare(`SELECT count(*) AS n FROM ${table}`).first<number>("n")) ?? 0;
}

/** The trail of a key's changes. */
async function trail(id: string) {
  const { results } = await env.DB.prepare(
    `SELECT type, data, merchant_id, actor_merchant_id, key_id, request_id FROM account_events
     WHERE subject = ? ORDER BY id`,
  )
    .bind(id)
    .all();
  return results;
}

/** Everything that is stored. */
async function dump(): Promise<Record<string, string>> {
  const { results } = await env.DB.prepare(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
  ).all<{ name: string }>();
  const tables = results.map(async ({ name }) => {
    const rows = await env.DB.prepare(`SELECT * FROM "${name}"`).all();
    return [name, JSON.stringify(rows.results)] as const;
  });
  return Object.fromEntries(await Promise.all(tables));
}

describe("create", () => {
  it("shows the key, and what is known of it", async () => {
    const { status, headers, body } = await create(await manager("payments:read", "payments:write"), {
      name: "Order service",
      scopes: ["payments:write", "payments:read", "payments:write"],
    });
    expect(status).toBe(201);
    expect(body).toEqual({
      id: publicId(body.key ?? ""),
      merchant_id: merchant,
      name: "Order service",
      scopes: ["payments:read", "payments:write"],
      status: "active",
      created_by: expect.stringMatching(/^[0-9A-Za-z]{12}$/),
      created_at: body.created_at,
      expires_at: null,
      revoked_at: null,
      last_used_at: null,
      key: body.key,
    });
    expect(headers.get("Location")).toBe(`${KEYS}/${body.id}`);
    expect(await isLetIn(body.key)).toBe(true);
  });

  it("keeps the SHA-256 of the key, and the key nowhere", async () => {
    const { key, shown } = await made();
    const rolled = await roll(admin, shown.id, { overlap_seconds: 60 });
    await paymentIn("confirmed", withKey(key));
    const stored = await dump();
    expect(Object.keys(stored)).toEqual(expect.arrayContaining(["api_keys", "account_events", "events"]));
    for (const secret of [key, rolled.body.key ?? "", env.ADMIN_KEY ?? ""]) {
      const [, , random = ""] = secret.split("_");
      expect(random).toHaveLength(38);
      for (const [table, rows] of Object.entries(stored)) {
        expect(rows, table).not.toContain(random);
        expect(rows, table).not.toContain(random.slice(0, 32));
      }
    }
    expect(stored.api_keys).toContain(await sha256(key));
  });

  it("shows the key once: no other answer has it", async () => {
    const { key, shown } = await made();
    const seen = [
      await get(admin, shown.id),
      await admin.request("GET", `${KEYS}?merchant_id=${merchant}`),
      await admin.request("PATCH", `${KEYS}/${shown.id}`, { body: { name: "Other" } }),
      await revoke(admin, shown.id),
    ];
    for (const { body } of seen) expect(JSON.stringify(body)).not.toContain(key.slice(-38));
    expect((await get(admin, shown.id)).body).not.toHaveProperty("key");
  });

  it("is replayed for its idempotency key: one key, which is not shown again", async () => {
    const api = await manager("payments:read");
    const body = { name: "Once", scopes: ["payments:read"] };
    const first = await create(api, body, "create-once");
    const keys = await count("api_keys");
    for (const same of [body, { ...body, scopes: ["payments:read", "payments:read"] }, { ...body, expires_at: null }]) {
      const second = await create(api, same, "create-once");
      expect([second.status, second.replayed]).toEqual([200, true]);
      expect(second.body).toEqual({ ...first.body, key: undefined });
      expect(second.headers.get("Location")).toBe(first.headers.get("Location"));
    }
    expect(await count("api_keys")).toBe(keys);
    expect(await trail(first.body.id)).toHaveLength(1);
  });

  it.each([
    ["name", { name: "Other" }],
    ["scope", { scopes: ["keys:manage"] }],
    ["expiry", { expires_at: "2100-01-01T00:00:00Z" }],
  ])("refuses the idempotency key for another %s", async (what, other) => {
    const api = await manager("payments:read");
    const body = { name: "One", scopes: ["payments:read"] };
    await create(api, body, `create-other-${what}`);
    const keys = await count("api_keys");
    const again = await create(api, { ...body, ...other }, `create-other-${what}`);
    expect([again.status, again.body]).toMatchObject([409, { type: "/problems/idempotency-key-reused" }]);
    expect(await count("api_keys")).toBe(keys);
  });

  it("refuses the idempotency key of another operation", async () => {
    const { shown } = await made(["payments:read"]);
    await revoke(admin, shown.id, "of-a-revocation");
    const body = { name: "One", scopes: ["payments:read"], merchant_id: merchant };
    expect((await create(admin, body, "of-a-revocation")).status).toBe(409);
    expect(
      (
        await admin.request("POST", "/api/v1/merchants", {
          body: { name: "x" },
          headers: { "Idempotency-Key": "of-a-revocation" },
        })
      ).status,
    ).toBe(409);
  });

  it("makes one key of ten concurrent requests with one idempotency key", async () => {
    const api = await manager("payments:read");
    const keys = await count("api_keys");
    const body = { name: "Crowd", scopes: ["payments:read"] };
    const answers = await Promise.all(Array.from({ length: 10 }, () => create(api, body, "create-crowd")));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(9).fill(200), 201]);
    expect(answers.filter((answer) => answer.body.key !== undefined)).toHaveLength(1);
    expect(await count("api_keys")).toBe(keys + 1);
  });
});

describe("a key lost on the way is shown by the same request, and made once, whichever answer was lost:", () => {
  it.each([1, 2, 3])("create, trip %i", async (n) => {
    const lossy = client(envWithD1(losesNth(env.DB, n)), { key: env.ADMIN_KEY });
    const [keys, events] = [await count("api_keys"), await count("account_events")];
    const { status, body } = await create(lossy, { name: "Lost", scopes: ["payments:read"], merchant_id: merchant });
    expect(status).toBe(201);
    expect([await count("api_keys"), await count("account_events")]).toEqual([keys + 1, events + 1]);
    expect(await isLetIn(body.key)).toBe(true);
  });

  it.each([1, 2, 3, 4])("roll, trip %i", async (n) => {
    const { key, shown } = await made();
    const lossy = client(envWithD1(losesNth(env.DB, n)), { key: env.ADMIN_KEY });
    const [keys, events] = [await count("api_keys"), await count("account_events")];
    const { status, body } = await roll(lossy, shown.id, { overlap_seconds: 0 });
    expect(status).toBe(201);
    expect([await count("api_keys"), await count("account_events")]).toEqual([keys + 1, events + 1]);
    expect([await isLetIn(body.key), await isLetIn(key)]).toEqual([true, false]);
  });

  it.each([1, 2, 3])("revoke, trip %i", async (n) => {
    const { key, shown } = await made();
    const lossy = client(envWithD1(losesNth(env.DB, n)), { key: env.ADMIN_KEY });
    expect((await revoke(lossy, shown.id)).body.status).toBe("revoked");
    expect(await trail(shown.id)).toHaveLength(2);
    expect(await isLetIn(key)).toBe(false);
  });
});

describe("list and get", () => {
  it("show a merchant's keys, newest first, page by page", async () => {
    const own = await newMerchant();
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.unshift(publicId(await newKey(["payments:read"], own)) ?? "");
    // Several keys of one millisecond have an order too.
    await env.DB.prepare("UPDATE api_keys SET created_at = 1000 WHERE id IN (?, ?)").bind(ids[3], ids[4]).run();
    const expected = [...ids.slice(0, 3), ...ids.slice(3).sort().reverse()];
    const found: string[] = [];
    let path = `${KEYS}?merchant_id=${own}&limit=2`;
    for (let page: List | null = null; page === null || page.has_more; ) {
      page = (await admin.request<List>("GET", path)).body;
      path = `${KEYS}?merchant_id=${own}&limit=2&cursor=${page.next_cursor}`;
      found.push(...page.data.map(({ id }) => id));
    }
    expect(found).toEqual(expected);
    const last = (await admin.request<List>("GET", `${KEYS}?merchant_id=${own}&limit=2`)).body;
    const newer = publicId(await newKey(["payments:read"], own));
    const next = await admin.request<List>("GET", `${KEYS}?merchant_id=${own}&cursor=${last.previous_cursor}`);
    expect(next.body.data.map(({ id }) => id)).toEqual([newer]);
  });

  it("show what has become of a key", async () => {
    const { shown } = await made();
    expect((await get(admin, shown.id)).body).toEqual(shown);
    const revoked = await revoke(admin, shown.id);
    expect(revoked.body).toEqual({ ...shown, status: "revoked", revoked_at: revoked.body.revoked_at });
    const list = await admin.request<List>("GET", `${KEYS}?merchant_id=${merchant}&limit=1`);
    expect(list.body.data).toEqual([revoked.body]);
    const { shown: ending } = await made(SCOPE_NAMES, { expires_at: new Date(Date.now() + HOUR).toISOString() });
    vi.setSystemTime(Date.now() + HOUR);
    expect((await get(admin, ending.id)).body.status).toBe("expired");
  });
});

describe("rename", () => {
  it("changes the name, and nothing else", async () => {
    const { key, shown } = await made();
    const renamed = await admin.request<ApiKey>("PATCH", `${KEYS}/${shown.id}`, { body: { name: "Other" } });
    expect([renamed.status, renamed.body]).toEqual([200, { ...shown, name: "Other" }]);
    expect(await isLetIn(key)).toBe(true);
    await admin.request("PATCH", `${KEYS}/${shown.id}`, { body: { name: "Other" } });
    expect(await trail(shown.id)).toHaveLength(2);
  });
});

describe("revoke", () => {
  it("ends a key for good, and once", async () => {
    const { key, shown } = await made();
    expect(await isLetIn(key)).toBe(true);
    const first = await revoke(admin, shown.id);
    expect([first.status, first.body.status]).toEqual([200, "revoked"]);
    expect(await isLetIn(key)).toBe(false);
    const second = await revoke(admin, shown.id);
    expect([second.status, second.body]).toEqual([200, first.body]);
    expect(await trail(shown.id)).toHaveLength(2);
    expect((await roll(admin, shown.id, { overlap_seconds: 0 })).body).toMatchObject({
      type: "/problems/api-key-not-active",
    });
  });

  it("is replayed for its idempotency key, which ends no other key", async () => {
    const [{ shown }, other] = [await made(), await made()];
    const first = await revoke(admin, shown.id, "revoke-once");
    expect([first.status, first.replayed]).toEqual([200, false]);
    const second = await revoke(admin, shown.id, "revoke-once");
    expect([second.status, second.replayed, second.body]).toEqual([200, true, first.body]);
    expect((await revoke(admin, other.shown.id, "revoke-once")).status).toBe(409);
    expect(await isLetIn(other.key)).toBe(true);
  });

  it("may be of the very key that asks", async () => {
    const { key, shown } = await made(["keys:manage", "payments:read"]);
    // It is what the answer says, and the last that the key did.
    expect((await revoke(withKey(key), shown.id)).body.status).toBe("revoked");
    expect(await isLetIn(key)).toBe(false);
  });
});

describe("roll", () => {
  it("without an overlap ends the old key at once", async () => {
    const { key, shown } = await made(["payments:read"]);
    expect(await isLetIn(key)).toBe(true);
    const { status, headers, body } = await roll(admin, shown.id, { overlap_seconds: 0 });
    expect(status).toBe(201);
    expect(headers.get("Location")).toBe(`${KEYS}/${body.id}`);
    expect(body).toEqual({ ...shown, id: publicId(body.key ?? ""), created_at: body.created_at, key: body.key });
    expect(body.id).not.toBe(shown.id);
    expect([await isLetIn(body.key), await isLetIn(key)]).toEqual([true, false]);
    expect((await get(admin, shown.id)).body.status).toBe("expired");
  });

  it.each([60, 7 * 24 * 3600])("with an overlap of %i seconds ends the old key after it", async (overlap_seconds) => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { key, shown } = await made(["payments:read"]);
    const { body } = await roll(admin, shown.id, { overlap_seconds });
    expect((await get(admin, shown.id)).body.expires_at).toBe(new Date(now + overlap_seconds * SECOND).toISOString());
    vi.setSystemTime(now + overlap_seconds * SECOND - 1);
    expect([await isLetIn(body.key), await isLetIn(key)]).toEqual([true, true]);
    vi.setSystemTime(now + overlap_seconds * SECOND);
    expect([await isLetIn(body.key), await isLetIn(key)]).toEqual([true, false]);
  });

  it("never gives the old key more time than it had, nor the new one unless asked", async () => {
    const expires_at = new Date(Date.now() + 10 * SECOND).toISOString();
    const { shown } = await made(["payments:read"], { expires_at });
    const { body } = await roll(admin, shown.id, { overlap_seconds: 3600 });
    expect((await get(admin, shown.id)).body.expires_at).toBe(expires_at);
    expect(body.expires_at).toBe(expires_at);
    const { shown: other } = await made(["payments:read"], { expires_at });
    const endless = await roll(admin, other.id, { overlap_seconds: 3600, expires_at: null });
    expect(endless.body.expires_at).toBeNull();
  });

  it("gives the new key the end that is asked for", async () => {
    const { shown } = await made(["payments:read"]);
    const { body } = await roll(admin, shown.id, { overlap_seconds: 0, expires_at: "2100-01-01T01:00:00+01:00" });
    expect(body.expires_at).toBe("2100-01-01T00:00:00.000Z");
  });

  it("is replayed for its idempotency key: one new key, which is not shown again", async () => {
    const { shown } = await made(["payments:read"]);
    const first = await roll(admin, shown.id, { overlap_seconds: 0 }, "roll-once");
    const keys = await count("api_keys");
    const second = await roll(admin, shown.id, { overlap_seconds: 0 }, "roll-once");
    expect([second.status, second.replayed]).toEqual([200, true]);
    expect(second.body).toEqual({ ...first.body, key: undefined });
    expect((await roll(admin, shown.id, { overlap_seconds: 1 }, "roll-once")).status).toBe(409);
    const { shown: other } = await made(["payments:read"]);
    expect((await roll(admin, other.id, { overlap_seconds: 0 }, "roll-once")).status).toBe(409);
    expect(await count("api_keys")).toBe(keys + 1);
  });

  it("makes one key of ten concurrent requests without an overlap", async () => {
    const { shown } = await made(["payments:read"]);
    const keys = await count("api_keys");
    const rolls = Array.from({ length: 10 }, () => roll(admin, shown.id, { overlap_seconds: 0 }));
    const statuses = (await Promise.all(rolls)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([201, ...Array(9).fill(409)]);
    expect(await count("api_keys")).toBe(keys + 1);
  });
});

describe("an expiry", () => {
  it("ends a key to the millisecond, also while it is remembered", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { key } = await made(SCOPE_NAMES, { expires_at: new Date(now + 10 * SECOND).toISOString() });
    vi.setSystemTime(now + 10 * SECOND - 1);
    expect(await isLetIn(key)).toBe(true);
    vi.setSystemTime(now + 10 * SECOND);
    expect(await isLetIn(key)).toBe(false);
  });

  it("is refused the key that has it a second time", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { shown } = await made(SCOPE_NAMES, { expires_at: new Date(now + SECOND).toISOString() });
    vi.setSystemTime(now + SECOND);
    const { status, body } = await roll(admin, shown.id, { overlap_seconds: 60 });
    expect([status, body]).toMatchObject([409, { type: "/problems/api-key-not-active" }]);
  });
});

describe("a key that has ended leaves nothing behind", () => {
  it("makes and rolls no key once it is revoked elsewhere, though it is remembered", async () => {
    const { key, shown } = await made(["keys:manage", "payments:read"]);
    const api = withKey(key);
    expect((await create(api, { name: "Before", scopes: ["payments:read"] })).status).toBe(201);
    expect(await isLetIn(key)).toBe(true);
    await env.DB.prepare("UPDATE api_keys SET revoked_at = ? WHERE id = ?").bind(Date.now(), shown.id).run();
    expect((await create(api, { name: "After", scopes: ["payments:read"] })).status).toBe(401);
    expect((await roll(api, shown.id, { overlap_seconds: 60 })).status).toBe(401);
  });

  it("makes and rolls no key that outlives it, whatever its scopes", async () => {
    const expires_at = new Date(Date.now() + HOUR).toISOString();
    const { key, shown } = await made(["keys:manage", "payments:read"], { expires_at });
    const api = withKey(key);
    const later = new Date(Date.now() + 2 * HOUR).toISOString();
    for (const answer of [
      await create(api, { name: "For ever", scopes: ["payments:read"] }),
      await create(api, { name: "Longer", scopes: ["payments:read"], expires_at: later }),
      await roll(api, shown.id, { overlap_seconds: 0, expires_at: null }),
    ]) {
      const detail = `Must be no later than ${expires_at}, when the key that asks ends`;
      expect([answer.status, answer.body]).toMatchObject([422, { errors: [{ detail, pointer: "#/expires_at" }] }]);
    }
    expect((await create(api, { name: "As long", scopes: ["payments:read"], expires_at })).status).toBe(201);
    expect((await roll(api, shown.id, { overlap_seconds: 0 })).body.expires_at).toBe(expires_at);
    // Nor does an administrator's key, for another merchant either; the administrator's secret has no end.
    const { key: mighty, shown: mightyKey } = await made(["keys:manage", "admin"], { expires_at });
    const there = { merchant_id: await newMerchant() };
    for (const answer of [
      await create(withKey(mighty), { name: "For ever", scopes: ["payments:read"] }),
      await create(withKey(mighty), { name: "Longer", scopes: ["payments:read"], expires_at: later, ...there }),
      await roll(withKey(mighty), mightyKey.id, { overlap_seconds: 0, expires_at: later }),
    ]) {
      expect([answer.status, answer.body]).toMatchObject([422, { errors: [{ pointer: "#/expires_at" }] }]);
    }
    expect((await create(withKey(mighty), { name: "As long", scopes: ["admin"], expires_at })).status).toBe(201);
    const endless = await create(admin, { name: "For ever", scopes: ["admin"], merchant_id: merchant });
    expect([endless.status, endless.body.expires_at]).toEqual([201, null]);
  });
});

describe("a key that manages keys", () => {
  it("grants what it has, to its own merchant", async () => {
    const api = await manager("payments:read");
    const { body } = await create(api, { name: "Same", scopes: ["keys:manage", "payments:read"] });
    expect([body.merchant_id, body.scopes]).toEqual([merchant, ["payments:read", "keys:manage"]]);
    expect((await create(api, { name: "Named", scopes: ["payments:read"], merchant_id: merchant })).status).toBe(201);
    expect((await roll(api, body.id, { overlap_seconds: 0 })).status).toBe(201);
  });

  it.each(SCOPE_NAMES.filter((scope) => scope !== "keys:manage"))(
    "cannot grant %s, or roll a key that has it, without having it",
    async (scope) => {
      const api = await manager();
      const { shown } = await made([scope]);
      const keys = await count("api_keys");
      for (const { status, headers, body } of [
        await create(api, { name: "More", scopes: ["keys:manage", scope] }),
        await roll(api, shown.id, { overlap_seconds: 0 }),
      ]) {
        expect([status, body]).toMatchObject([403, { detail: `The API key lacks the scope ${scope}` }]);
        expect(headers.get("WWW-Authenticate")).toContain(`error="insufficient_scope", scope="${scope}"`);
      }
      expect(await count("api_keys")).toBe(keys);
      expect((await get(admin, shown.id)).body.status).toBe("active");
    },
  );

  it("cannot name another merchant, in a body or a query", async () => {
    const api = await manager(...SCOPE_NAMES.filter((scope) => scope !== "admin" && scope !== "keys:manage"));
    const other = await newMerchant();
    for (const { status, body } of [
      await create(api, { name: "Theirs", scopes: ["payments:read"], merchant_id: other }),
      await api.request("GET", `${KEYS}?merchant_id=${other}`),
      await api.request("GET", `${KEYS}?merchant_id=9007199254740991`),
    ]) {
      expect([status, body]).toMatchObject([403, { detail: "The API key lacks the scope admin" }]);
    }
    expect((await api.request("GET", `${KEYS}?merchant_id=${merchant}`)).status).toBe(200);
  });
});

describe("an administrator's key", () => {
  it.each([
    ["the secret", async () => env.ADMIN_KEY],
    ["a key with both scopes", () => newKey(["admin", "keys:manage"])],
  ])("manages the keys of every merchant, and grants every scope: %s", async (_, key) => {
    const api = withKey(await key());
    const { status, body } = await create(api, { name: "All", scopes: SCOPE_NAMES, merchant_id: merchant });
    expect([status, body.scopes, body.merchant_id]).toEqual([201, SCOPE_NAMES, merchant]);
    const rolled = await roll(api, body.id, { overlap_seconds: 0 });
    expect([rolled.status, rolled.body.merchant_id]).toEqual([201, merchant]);
    expect((await revoke(api, rolled.body.id)).status).toBe(200);
    expect((await api.request<List>("GET", `${KEYS}?merchant_id=${merchant}`)).body.data[0]?.id).toBe(rolled.body.id);
  });

  it("that is the secret moves no money, and reads no payment", async () => {
    const { id } = await paymentIn("pending");
    for (const answer of [
      await admin.create(ORDER),
      await admin.get(id),
      await admin.run(id, "confirm"),
      await admin.run(id, "refund"),
      await admin.request("GET", "/api/v1/payments"),
      await admin.request("GET", `/api/v1/payments/${id}/events`),
    ]) {
      expect([answer.status, answer.body.type]).toEqual([403, "/problems/insufficient-scope"]);
    }
    expect((await admin.request("GET", "/api/v1/merchants")).status).toBe(200);
  });

  it("that is the secret is rotated with the secret: the old one is worth nothing", async () => {
    const next = makeAdministratorKey();
    const rotated = { ...env, ADMIN_KEY: next };
    expect((await client(rotated, { key: next }).request("GET", `${KEYS}?merchant_id=1`)).status).toBe(200);
    expect((await client(rotated, { key: env.ADMIN_KEY }).request("GET", `${KEYS}?merchant_id=1`)).status).toBe(401);
  });
});

describe("bad input is refused, and says where it is:", () => {
  const NAME = "Must be a text of 1 to 100 characters";
  const SCOPES = `Must be a list of one or several of ${SCOPE_NAMES.join(", ")}`;
  const FUTURE = "Must be an RFC 3339 time with seconds up to 59, or a date, in the future";
  const LAST = "Must be at most 9999-12-31T23:59:59.999Z";
  const ID = "Must be an integer from 1 to 9007199254740991";
  const OVERLAP = "Must be an integer from 0 to 604800";
  const GOOD = { name: "Order service", scopes: ["payments:read"], merchant_id: 1 };

  it.each<[what: string, body: unknown, errors: [pointer: string, detail: string][]]>([
    [
      "nothing",
      {},
      [
        ["#/name", "Field required"],
        ["#/scopes", "Field required"],
      ],
    ],
    ["an empty name", { ...GOOD, name: "" }, [["#/name", NAME]]],
    ["a name of 101 characters", { ...GOOD, name: "n".repeat(101) }, [["#/name", NAME]]],
    ["a name that is a number", { ...GOOD, name: 1 }, [["#/name", NAME]]],
    ["no scopes", { ...GOOD, scopes: [] }, [["#/scopes", SCOPES]]],
    ["one scope as a text", { ...GOOD, scopes: "payments:read" }, [["#/scopes", SCOPES]]],
    ["null for scopes", { ...GOOD, scopes: null }, [["#/scopes", SCOPES]]],
    ["an unknown scope", { ...GOOD, scopes: ["payments:read", "payments:*"] }, [["#/scopes/1", SCOPES]]],
    ["a scope that is a number", { ...GOOD, scopes: [1] }, [["#/scopes/0", SCOPES]]],
    ["a property of objects as a scope", { ...GOOD, scopes: ["toString"] }, [["#/scopes/0", SCOPES]]],
    ["an expiry in the past", { ...GOOD, expires_at: "2020-01-01T00:00:00Z" }, [["#/expires_at", FUTURE]]],
    [
      "an expiry after the last year",
      { ...GOOD, expires_at: "9999-12-31T23:59:59.999-23:59" },
      [["#/expires_at", LAST]],
    ],
    ["an expiry without an offset", { ...GOOD, expires_at: "2100-01-01T00:00:00" }, [["#/expires_at", FUTURE]]],
    ["an expiry that is a month", { ...GOOD, expires_at: "2100-01" }, [["#/expires_at", FUTURE]]],
    ["an expiry that is no day", { ...GOOD, expires_at: "2100-02-30T00:00:00Z" }, [["#/expires_at", FUTURE]]],
    ["an expiry that is a number", { ...GOOD, expires_at: 4102444800 }, [["#/expires_at", FUTURE]]],
    ["a merchant's id as a text", { ...GOOD, merchant_id: "1" }, [["#/merchant_id", ID]]],
    ["a merchant's id of 0", { ...GOOD, merchant_id: 0 }, [["#/merchant_id", ID]]],
    ["a merchant's id that is not safe", { ...GOOD, merchant_id: 2 ** 53 }, [["#/merchant_id", ID]]],
    [
      "a merchant that there is not",
      { ...GOOD, merchant_id: 2 ** 53 - 1 },
      [["#/merchant_id", "There is no such merchant"]],
    ],
    ["an unknown field", { ...GOOD, key: "x" }, [["#/key", "Unknown field"]]],
    ["an array", [], [["#", "Must be a JSON object"]]],
  ])("create with %s", async (_, body, errors) => {
    const keys = await count("api_keys");
    const { status, body: problem } = await admin.request("POST", KEYS, { body });
    expect([status, problem.errors]).toEqual([422, errors.map(([pointer, detail]) => ({ detail, pointer }))]);
    expect(await count("api_keys")).toBe(keys);
  });

  it.each<[what: string, body: unknown, errors: [pointer: string, detail: string][]]>([
    ["nothing", {}, [["#/overlap_seconds", "Field required"]]],
    ["a negative overlap", { overlap_seconds: -1 }, [["#/overlap_seconds", OVERLAP]]],
    ["an overlap of more than seven days", { overlap_seconds: 604_801 }, [["#/overlap_seconds", OVERLAP]]],
    ["an overlap that is no integer", { overlap_seconds: 1.5 }, [["#/overlap_seconds", OVERLAP]]],
    ["an overlap that is a text", { overlap_seconds: "60" }, [["#/overlap_seconds", OVERLAP]]],
    ["null for an overlap", { overlap_seconds: null }, [["#/overlap_seconds", OVERLAP]]],
    ["an expiry in the past", { overlap_seconds: 0, expires_at: "2020-01-01T00:00:00Z" }, [["#/expires_at", FUTURE]]],
    ["an unknown field", { overlap_seconds: 0, scopes: ["admin"] }, [["#/scopes", "Unknown field"]]],
  ])("roll with %s", async (_, body, errors) => {
    const { key, shown } = await made();
    const { status, body: problem } = await admin.request("POST", `${KEYS}/${shown.id}/roll`, { body });
    expect([status, problem.errors]).toEqual([422, errors.map(([pointer, detail]) => ({ detail, pointer }))]);
    expect(await isLetIn(key)).toBe(true);
  });

  it("rename and revoke", async () => {
    const { key, shown } = await made();
    const renamed = await admin.request("PATCH", `${KEYS}/${shown.id}`, {
      body: { name: "n".repeat(101), scopes: [] },
    });
    expect([renamed.status, renamed.body.errors]).toEqual([
      422,
      [
        { detail: NAME, pointer: "#/name" },
        { detail: "Unknown field", pointer: "#/scopes" },
      ],
    ]);
    const revoked = await admin.request("POST", `${KEYS}/${shown.id}/revoke`, { body: { at: "noon" } });
    expect([revoked.status, revoked.body.errors]).toEqual([422, [{ detail: "Unknown field", pointer: "#/at" }]]);
    expect(await isLetIn(key)).toBe(true);
  });

  it.each(["x", "0123456789abc", "0123456789a-", "%00", "4fT9bQ2sXk7%C3%A9"])("the id %s", async (id) => {
    const errors = [{ detail: "Must be a key's public id: the 12 characters after pay_", parameter: "key_id" }];
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["PATCH", "", { name: "x" }],
      ["POST", "/revoke", undefined],
      ["POST", "/roll", { overlap_seconds: 0 }],
    ] as const) {
      const answer = await admin.request(method, `${KEYS}/${id}${path}`, { body });
      expect([answer.status, answer.body.errors]).toEqual([422, errors]);
    }
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=1e1", "limit"],
    ["cursor=abc", "cursor"],
    ["merchant_id=0", "merchant_id"],
    ["merchant_id=1&merchant_id=2", "merchant_id"],
    ["scope=admin", "scope"],
  ])("the query %s", async (query, parameter) => {
    const { status, body } = await admin.request("GET", `${KEYS}?${query}`);
    expect([status, body.errors]).toEqual([422, [{ detail: expect.any(String), parameter }]]);
  });

  it.each([
    ["POST", KEYS, GOOD],
    ["POST", `${KEYS}/000000000000/revoke`, undefined],
    ["POST", "/api/v1/merchants", { name: "Shop" }],
  ])("a wrong idempotency key: %s %s", async (method, path, body) => {
    const answer = await admin.request(method, path, { body, headers: { "Idempotency-Key": "two words" } });
    expect([answer.status, answer.body.errors?.[0]]).toMatchObject([400, { header: "Idempotency-Key" }]);
  });

  it("takes a name of 100 characters", async () => {
    expect((await create(admin, { ...GOOD, name: "😀".repeat(100) })).status).toBe(201);
  });
});

describe("the trail", () => {
  it("names the key that acted, and the request, for every change of a key", async () => {
    const actor = await newKey(["keys:manage", "payments:read"], merchant);
    const api = withKey(actor);
    const as = (id: string) => ({ headers: { "X-Request-Id": id } });
    const { body } = await api.request<ApiKey>("POST", KEYS, {
      body: { name: "Traced", scopes: ["payments:read"] },
      ...as("created-here"),
    });
    await api.request("PATCH", `${KEYS}/${body.id}`, { body: { name: "Renamed" }, ...as("renamed-here") });
    const rolled = await api.request<ApiKey>("POST", `${KEYS}/${body.id}/roll`, {
      body: { overlap_seconds: 60 },
      ...as("rolled-here"),
    });
    await api.request("POST", `${KEYS}/${body.id}/revoke`, as("revoked-here"));
    const who = { merchant_id: merchant, actor_merchant_id: merchant, key_id: publicId(actor) };
    const data = (value: object) => JSON.stringify(value);
    expect(await trail(body.id)).toEqual([
      {
        ...who,
        type: "api_key.created",
        data: data({ name: "Traced", scopes: ["payments:read"], expires_at: null }),
        request_id: "created-here",
      },
      { ...who, type: "api_key.renamed", data: data({ name: "Renamed" }), request_id: "renamed-here" },
      { ...who, type: "api_key.revoked", data: "{}", request_id: "revoked-here" },
    ]);
    const [event] = await trail(rolled.body.id);
    expect(event).toMatchObject({ ...who, type: "api_key.rolled", request_id: "rolled-here" });
    expect(JSON.parse(String(event?.data))).toMatchObject({ rolled: body.id });
  });

  it("names an administrator of another merchant as what it is", async () => {
    const { shown } = await made();
    expect(await trail(shown.id)).toMatchObject([
      { merchant_id: merchant, actor_merchant_id: 0, key_id: publicId(env.ADMIN_KEY ?? "") },
    ]);
  });

  it("has nothing of what was refused", async () => {
    const events = await count("account_events");
    const api = await manager();
    const { shown } = await made(["admin"]);
    await roll(api, shown.id, { overlap_seconds: 0 });
    await create(api, { name: "x", scopes: ["admin"] });
    await api.request("PATCH", `${KEYS}/000000000000`, { body: { name: "x" } });
    // The manager's own key, and the one that was not rolled.
    expect(await count("account_events")).toBe(events + 2);
  });

  it("of a payment names the key that acted, too", async () => {
    const [creator, confirmer] = [await newKey(SCOPE_NAMES, merchant), await newKey(SCOPE_NAMES, merchant)];
    const { body } = await withKey(creator).request("POST", "/api/v1/payments", {
      body: ORDER,
      headers: { "Idempotency-Key": crypto.randomUUID(), "X-Request-Id": "the-creation" },
    });
    await withKey(confirmer).request("POST", `/api/v1/payments/${body.id}/confirm`, {
      headers: { "X-Request-Id": "the-confirmation" },
    });
    const { results } = await env.DB.prepare(
      "SELECT key_id, request_id FROM events WHERE payment_id = ? ORDER BY sequence",
    )
      .bind(body.id)
      .all();
    expect(results).toEqual([
      { key_id: publicId(creator), request_id: "the-creation" },
      { key_id: publicId(confirmer), request_id: "the-confirmation" },
    ]);
  });
});

describe("what an isolate remembers of a key", () => {
  /** An isolate of its own, whose D1 is metered. */
  function isolate(key: string) {
    const meter: Meter = meterD1(env.DB);
    const api = client(envWithD1(meter.db), { key });
    return {
      isLetIn: async () => (await api.request("GET", "/api/v1/payments?limit=1")).status === 200,
      /** The trips of an operation. */
      async trips(operation: (client: typeof api) => Promise<unknown>) {
        const before = meter.trips;
        await operation(api);
        return meter.trips - before;
      },
      ask: (presented: string) =>
        api.request("GET", "/api/v1/payments?limit=1", { headers: { Authorization: `Bearer ${presented}` } }),
      meter,
    };
  }

  const revokeElsewhere = async (key: string) =>
    env.DB.prepare("UPDATE api_keys SET revoked_at = ? WHERE id = ?").bind(Date.now(), publicId(key)).run();

  it("ends after 30 seconds, so that a revocation elsewhere takes effect within them", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const key = await newKey(SCOPE_NAMES, merchant);
    const { isLetIn } = isolate(key);
    expect(await isLetIn()).toBe(true);
    await revokeElsewhere(key);
    vi.setSystemTime(now + 30 * SECOND - 1);
    expect(await isLetIn()).toBe(true);
    vi.setSystemTime(now + 30 * SECOND);
    expect(await isLetIn()).toBe(false);
    vi.setSystemTime(now + DAY_MS);
    expect(await isLetIn()).toBe(false);
  });

  it("ends when the clock goes back, since nothing says for how long", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const key = await newKey(SCOPE_NAMES, merchant);
    const { isLetIn } = isolate(key);
    expect(await isLetIn()).toBe(true);
    await revokeElsewhere(key);
    vi.setSystemTime(now - DAY_MS);
    expect(await isLetIn()).toBe(false);
  });

  it("is not drawn out by use", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const key = await newKey(SCOPE_NAMES, merchant);
    const { isLetIn } = isolate(key);
    await isLetIn();
    await revokeElsewhere(key);
    for (const seconds of [10, 20, 29]) {
      vi.setSystemTime(now + seconds * SECOND);
      expect(await isLetIn()).toBe(true);
    }
    vi.setSystemTime(now + 30 * SECOND);
    expect(await isLetIn()).toBe(false);
  });

  it("is forgotten at once where the key is revoked or rolled", async () => {
    for (const end of ["revoke", "roll"]) {
      const { key, shown } = await made();
      const { isLetIn, meter } = isolate(key);
      expect(await isLetIn()).toBe(true);
      const here = client(envWithD1(meter.db), { key: env.ADMIN_KEY });
      if (end === "revoke") await revoke(here, shown.id);
      else await roll(here, shown.id, { overlap_seconds: 0 });
      expect(await isLetIn()).toBe(false);
    }
  });

  it("tells a wrong secret without D1, and stays", async () => {
    const key = await newKey(SCOPE_NAMES, merchant);
    const { isLetIn, trips, ask } = isolate(key);
    await isLetIn();
    const wrong = forgeKey(publicId(key) ?? "");
    expect(publicId(wrong)).toBe(publicId(key));
    expect(await trips(async () => expect((await ask(wrong)).status).toBe(401))).toBe(0);
    expect(await trips(async () => expect(await isLetIn()).toBe(true))).toBe(1);
  });

  it("is nothing of a key that was refused", async () => {
    const key = await newKey(SCOPE_NAMES, merchant);
    const { ask } = isolate(key);
    const wrong = await wrongSecret(publicId(key) ?? "");
    expect((await ask(wrong)).status).toBe(401);
    expect((await ask(key)).status).toBe(200);
    expect((await ask(wrong)).status).toBe(401);
  });

  it("costs one trip before, and none while it lasts", async () => {
    const key = await newKey(SCOPE_NAMES, merchant);
    await env.DB.prepare("UPDATE api_keys SET last_used_at = ? WHERE id = ?").bind(Date.now(), publicId(key)).run();
    const { isLetIn, trips } = isolate(key);
    expect(await trips(isLetIn)).toBe(2);
    expect(await trips(isLetIn)).toBe(1);
  });

  it("is not needed for what is no key, or the administrator's: neither costs a trip", async () => {
    const { ask, trips } = isolate(await newKey(SCOPE_NAMES, merchant));
    const mistyped = (await unknownKey()).replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    for (const wrong of ["secret", "pay_", mistyped, forgeKey(publicId(env.ADMIN_KEY ?? "") ?? "")]) {
      expect(await trips(async () => expect((await ask(wrong)).status).toBe(401))).toBe(0);
    }
    expect(await trips(async () => expect((await ask(env.ADMIN_KEY ?? "")).status).toBe(403))).toBe(0);
    expect(await trips(async () => expect((await ask(makeAdministratorKey())).status).toBe(401))).toBe(0);
    const unknown = await unknownKey();
    expect(await trips(async () => expect((await ask(unknown)).status).toBe(401))).toBe(1);
    for (let n = 0; n < 30; n++) expect(await trips(() => ask(unknown))).toBe(0);
  });
});

describe("last_used_at", () => {
  const lastUsed = async (id: string) => (await get(admin, id)).body.last_used_at;
  /** What is written after the answer. */
  const noted = (id: string, at: number) =>
    vi.waitFor(async () => expect(await lastUsed(id)).toBe(new Date(at).toISOString()));

  it("is noted after the answer, at most once an hour", async () => {
    const start = Date.now();
    vi.setSystemTime(start);
    const { key, shown } = await made();
    expect(shown.last_used_at).toBeNull();
    expect(await isLetIn(key)).toBe(true);
    await noted(shown.id, start);

    // Looked up anew, and within the hour: the look-up and the list, and no more.
    const meter = meterD1(env.DB);
    vi.setSystemTime(start + HOUR - 1);
    expect((await client(envWithD1(meter.db), { key }).request("GET", "/api/v1/payments?limit=1")).status).toBe(200);
    expect([meter.trips, meter.rowsWritten]).toEqual([2, 0]);
    expect(await lastUsed(shown.id)).toBe(new Date(start).toISOString());

    vi.setSystemTime(start + HOUR);
    expect((await client({ ...env, DB: meterD1(env.DB).db }, { key }).request("GET", "/api/v1/payments")).status).toBe(
      200,
    );
    await noted(shown.id, start + HOUR);
  });

  it("is not what a refused request leaves", async () => {
    const { shown } = await made();
    const meter = meterD1(env.DB);
    const wrong = client(envWithD1(meter.db), { key: await wrongSecret(shown.id) });
    expect((await wrong.request("GET", "/api/v1/payments")).status).toBe(401);
    expect(meter.trips).toBe(1);
    expect(await lastUsed(shown.id)).toBeNull();
  });

  it("is lost without harm when D1 does not take it", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const { key, shown } = await made();
    const meter = meterD1(env.DB);
    const broken = new Proxy(meter.db, {
      get(target, property) {
        if (property !== "prepare") return Reflect.get(target, property, target);
        return (sql: string) => {
          if (sql.includes("last_used_at =")) throw new Error("D1_ERROR: Network connection lost.");
          return target.prepare(sql);
        };
      },
    });
    expect((await client({ ...env, DB: broken }, { key }).request("GET", "/api/v1/payments")).status).toBe(200);
    await vi.waitFor(() => expect(JSON.stringify(logged.mock.calls)).toContain("use of a key not noted"));
    expect(await lastUsed(shown.id)).toBeNull();
    logged.mockRestore();
  });
});
