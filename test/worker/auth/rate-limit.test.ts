import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { makeAdministratorKey, publicId } from "../../../src/auth/api-key";
import { remember } from "../../../src/auth/key-cache";
import { SCOPE_NAMES, type Scope } from "../../../src/scopes";
import { administrator, client, forgeKey, newKey, newMerchant, ORDER, unknownKey, wrongSecret } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";

const PAYMENTS = "/api/v1/payments";
const ENDPOINTS = "/api/v1/webhook-endpoints";

const refuses = (): RateLimit => ({ limit: async () => ({ success: false }) });

/** A limit that counts, and lets so many through. */
function allows(quota: number) {
  const asked: string[] = [];
  const limit = async ({ key }: RateLimitOptions) => ({ success: asked.push(key) <= quota });
  return { asked, binding: { limit } satisfies RateLimit };
}

describe("requests of a key beyond its quota", () => {
  it("are refused, with when to come back", async () => {
    const key = await newKey();
    const api = client({ ...env, KEY_RATE: refuses() }, { key });
    const before = await env.DB.prepare("SELECT count(*) AS n FROM payments").first("n");
    for (const { status, headers, body } of [await api.get(1), await api.create(ORDER), await api.run(1, "confirm")]) {
      expect(body).toEqual({
        type: "/problems/rate-limited",
        title: "Rate limited",
        status: 429,
        detail: "Too many requests",
        instance: headers.get("X-Request-Id"),
      });
      expect(status).toBe(429);
      expect(headers.get("Retry-After")).toBe("10");
      expect(headers.get("RateLimit-Policy")).toBe('"key";q=1000;w=10');
      expect(headers.get("RateLimit")).toBe('"key";r=0;t=10');
    }
    expect(await env.DB.prepare("SELECT count(*) AS n FROM payments").first("n")).toBe(before);
  });

  it("are counted by key, the administrator's too, whatever comes of them", async () => {
    const [one, other] = [await newKey(), await newKey(["events:read"])];
    const { asked, binding } = allows(10);
    const limited = { ...env, KEY_RATE: binding };
    await client(limited, { key: one }).create({});
    await client(limited, { key: other }).create(ORDER);
    await client(limited, { key: env.ADMIN_KEY }).request("GET", "/api/v1/merchants");
    expect(asked).toEqual([one, other, env.ADMIN_KEY].map((key) => key?.split("_")[1]));
  });

  it("say the quota that is configured", async () => {
    const api = client({ ...env, KEY_RATE: refuses(), KEY_RATE_LIMIT: "7/60" }, { key: await newKey() });
    const { headers } = await api.get(1);
    expect(headers.get("Retry-After")).toBe("60");
    expect(headers.get("RateLimit-Policy")).toBe('"key";q=7;w=60');
  });

  it("do not keep anybody from what is public", async () => {
    const api = client({ ...env, KEY_RATE: refuses(), FAILURE_RATE: refuses() }, { key: await newKey() });
    expect((await api.request("GET", "/health")).status).toBe(200);
    expect((await api.request("GET", "/problems")).status).toBe(200);
  });
});

describe("the quotas of a merchant", () => {
  it("are shared by its keys, and by no other merchant's", async () => {
    const [one, other] = [await newMerchant(), await newMerchant()];
    const { asked, binding } = allows(2);
    const as = async (merchant: number) =>
      client({ ...env, MERCHANT_RATE: binding }, { key: await newKey(["payments:read"], merchant) });
    const statuses: number[] = [];
    for (const api of [await as(one), await as(one), await as(one), await as(other)]) {
      const { status, headers } = await api.request("GET", PAYMENTS);
      statuses.push(status);
      if (status === 429) expect(headers.get("RateLimit-Policy")).toBe('"merchant";q=2000;w=10');
    }
    // The binding of this test counts all together.
    expect(statuses).toEqual([200, 200, 429, 429]);
    expect(asked).toEqual([one, one, one, other].map(String));
  });

  it("of requests that are beyond the key's are left alone", async () => {
    const { asked, binding } = allows(10);
    const api = client({ ...env, KEY_RATE: refuses(), MERCHANT_RATE: binding }, { key: await newKey() });
    expect((await api.request("GET", PAYMENTS)).status).toBe(429);
    expect(asked).toEqual([]);
  });
});

describe("a refusal costs D1 nothing:", () => {
  /** An isolate that remembers the key, with other quotas from then on. */
  async function warm(scopes: readonly Scope[], changes: Partial<Env> = {}) {
    const meter = meterD1(env.DB);
    const inside = envWithD1(meter.db);
    const key = await newKey(scopes);
    await client(inside, { key }).request("GET", "/api/v1/payments/1");
    const { trips } = meter;
    return { api: client({ ...inside, ...changes }, { key }), trips: () => meter.trips - trips };
  }
  const ROUTES = [
    ["GET", PAYMENTS, undefined],
    ["POST", PAYMENTS, ORDER],
    ["GET", "/api/v1/api-keys", undefined],
    ["POST", "/api/v1/api-keys", { name: "x", scopes: ["payments:read"] }],
    ["POST", "/api/v1/merchants", { name: "x" }],
    ["PATCH", "/api/v1/merchants/1", { name: "x" }],
  ] as const;

  it.each(["KEY_RATE", "MERCHANT_RATE"] as const)("a 429 of %s", async (limit) => {
    const { api, trips } = await warm(SCOPE_NAMES, { [limit]: refuses() });
    for (const [method, path, body] of ROUTES) expect((await api.request(method, path, { body })).status).toBe(429);
    expect(trips()).toBe(0);
  });

  // What each of them is looked up for comes after the count: neither endpoint nor delivery exists here.
  it.each([
    ["COSTLY_RATE", "GET", `${PAYMENTS}?status=pending`, {}],
    ["COSTLY_RATE", "GET", `${ENDPOINTS}/1/deliveries`, {}],
    ["HEAVY_RATE", "GET", PAYMENTS, { headers: { Accept: "text/csv" } }],
    ["WEBHOOK_TEST_RATE", "POST", `${ENDPOINTS}/1/test`, {}],
    ["WEBHOOK_RETRY_RATE", "POST", `${ENDPOINTS}/1/deliveries/evt_1_1/retry`, {}],
  ] as const)("a 429 of %s: %s %s", async (limit, method, path, what) => {
    const { api, trips } = await warm(SCOPE_NAMES, { [limit]: refuses() });
    expect((await api.request(method, path, what)).body.type).toBe("/problems/rate-limited");
    expect(trips()).toBe(0);
  });

  it("a 429 of KEY_RATE for a key that is new to the isolate", async () => {
    const meter = meterD1(env.DB);
    const api = client({ ...envWithD1(meter.db), KEY_RATE: refuses() }, { key: await newKey() });
    for (const [method, path, body] of ROUTES) expect((await api.request(method, path, { body })).status).toBe(429);
    expect(meter.trips).toBe(0);
  });

  it("a 403", async () => {
    const { api, trips } = await warm(["events:read"]);
    for (const [method, path, body] of ROUTES) expect((await api.request(method, path, { body })).status).toBe(403);
    expect(trips()).toBe(0);
  });

  it("a 401 of what was never issued", async () => {
    const meter = meterD1(env.DB);
    const id = publicId(await newKey()) ?? "";
    for (const key of ["secret", forgeKey(id), makeAdministratorKey(), `${await newKey()}0`]) {
      const api = client(envWithD1(meter.db), { key });
      for (const [method, path, body] of ROUTES) expect((await api.request(method, path, { body })).status).toBe(401);
    }
    expect(meter.trips).toBe(0);
  });
});

describe("keys that were never issued", () => {
  it("lock nobody out, however many come from an address, and are not counted", async () => {
    const { asked, binding } = allows(0);
    const api = client({ ...env, FAILURE_RATE: binding }, { key: null });
    const from = (key: string) => ({ Authorization: `Bearer ${key}`, "CF-Connecting-IP": "192.0.2.1" });
    for (let n = 0; n < 60; n++) {
      expect((await api.request("GET", PAYMENTS, { headers: from(makeAdministratorKey()) })).status).toBe(401);
    }
    // New to the isolate.
    expect((await api.request("GET", PAYMENTS, { headers: from(await newKey()) })).status).toBe(200);
    expect((await api.request("GET", PAYMENTS, { headers: from(env.ADMIN_KEY ?? "") })).status).toBe(403);
    expect(asked).toEqual([]);
  });
});

describe("a key that has ended", () => {
  /** A key that is revoked, and an isolate of its own, whose D1 is metered. */
  async function ended(changes: Partial<Env> = {}) {
    const key = await newKey(["payments:read"]);
    await administrator().request("POST", `/api/v1/api-keys/${publicId(key)}/revoke`);
    const meter = meterD1(env.DB);
    const api = client({ ...envWithD1(meter.db), ...changes }, { key: null });
    const ask = (from: string, presented = key) =>
      api.request("GET", PAYMENTS, { headers: { Authorization: `Bearer ${presented}`, "CF-Connecting-IP": from } });
    return { key, meter, ask };
  }

  it("is looked up once in 30 seconds, however often it is tried", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { meter, ask } = await ended({ FAILURE_RATE: allows(1_000).binding });
    for (let n = 0; n < 50; n++) expect((await ask("192.0.2.1")).status).toBe(401);
    expect(meter.trips).toBe(1);
    vi.setSystemTime(now + 30_000);
    expect((await ask("192.0.2.1")).status).toBe(401);
    expect(meter.trips).toBe(2);
    vi.useRealTimers();
  });

  it("is refused for 60 seconds after 20 tries a minute from an address", async () => {
    const { ask } = await ended();
    const statuses: number[] = [];
    // The limit's minutes are the clock's, so a run may see the end of one and all of the next.
    while (!statuses.includes(429) && statuses.length < 41) statuses.push((await ask("192.0.2.1")).status);
    expect(statuses.at(-1)).toBe(429);
    expect(statuses.length).toBeGreaterThan(20);
    const { headers } = await ask("192.0.2.1");
    expect(headers.get("Retry-After")).toBe("60");
    expect(headers.get("RateLimit-Policy")).toBe('"address";q=20;w=60');
    expect(headers.get("RateLimit")).toBe('"address";r=0;t=60');
    // Of another address, and another key of this one.
    expect((await ask("192.0.2.2")).status).toBe(401);
    expect((await ask("192.0.2.1", await newKey())).status).toBe(200);
  });

  it("with a secret that is wrong keeps nobody from the right one", async () => {
    const { ask } = await ended({ FAILURE_RATE: refuses() });
    const key = await newKey(["payments:read"]);
    const wrong = await wrongSecret(publicId(key) ?? "");
    for (let n = 0; n < 3; n++) {
      expect((await ask("192.0.2.1", wrong)).status).toBe(429);
      expect((await ask("192.0.2.1", key)).status).toBe(200);
    }
  });

  it.each<[what: string, from: string, counted: string]>([
    ["an IPv4 address", "192.0.2.9", "192.0.2.9"],
    ["an IPv6 address by its /64", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["a short IPv6 address", "2001:db8::1", "2001:db8:0:0"],
    ["the end of an IPv6 address", "::1", "0:0:0:0"],
    ["a whole /64", "2001:db8:1:2::", "2001:db8:1:2"],
    ["an IPv4 address in IPv6", "::ffff:192.0.2.9", "::ffff:192.0.2.9"],
  ])("is counted by %s and its public id", async (_, from, counted) => {
    const { asked, binding } = allows(10);
    const { key, ask } = await ended({ FAILURE_RATE: binding });
    expect((await ask(from)).status).toBe(401);
    expect(asked).toEqual([`${counted} ${publicId(key)}`]);
  });
});

it.each(["KEY_RATE", "MERCHANT_RATE", "COSTLY_RATE", "FAILURE_RATE"] as const)(
  "%s that fails lets on, and says so in the log",
  async (limit) => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const broken: RateLimit = { limit: () => Promise.reject(new Error("no counter")) };
    const wrong = await wrongSecret(publicId(await newKey()) ?? "");
    const key = limit === "FAILURE_RATE" ? wrong : await newKey();
    const { status } = await client({ ...env, [limit]: broken }, { key }).request(
      "GET",
      // A filter without an index is costly work.
      `${PAYMENTS}?status=pending`,
    );
    expect(status).toBe(limit === "FAILURE_RATE" ? 401 : 200);
    const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines).toContainEqual({ message: "quota not counted", limit, cause: "Error: no counter" });
    logged.mockRestore();
  },
);

it.each<[limit: "WEBHOOK_TEST_RATE" | "WEBHOOK_RETRY_RATE", path: string, status: number]>([
  ["WEBHOOK_TEST_RATE", "test", 200],
  // Counted before the delivery is looked for, which is not there.
  ["WEBHOOK_RETRY_RATE", "deliveries/evt_1_1/retry", 404],
])("%s that fails lets on, and says so in the log", async (limit, path, expected) => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  const sent = vi.spyOn(globalThis, "fetch").mockImplementation(async () => new Response());
  const key = await newKey(SCOPE_NAMES, await newMerchant());
  const api = client({ ...env, [limit]: { limit: () => Promise.reject(new Error("no counter")) } }, { key });
  const { body: endpoint } = await api.request("POST", ENDPOINTS, { body: { url: "https://example.com/hook" } });
  const { status, body } = await api.request("POST", `${ENDPOINTS}/${endpoint.id}/${path}`);
  expect(status).toBe(expected);
  if (expected === 404) expect(body.type).toBe("/problems/webhook-delivery-not-found");
  expect(sent).toHaveBeenCalledTimes(expected === 200 ? 1 : 0);
  const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
  expect(lines).toContainEqual({ message: "quota not counted", limit, cause: "Error: no counter" });
  sent.mockRestore();
  logged.mockRestore();
});

describe("what an isolate remembers", () => {
  it("is a thousand keys, of which the oldest goes first", async () => {
    const cache = new Map<string, number>();
    // More than the thousand would be memory without a bound; fewer would look warm keys up again.
    for (let n = 0; n < 1_001; n++) remember(cache, String(n), n);
    expect([cache.size, cache.has("0"), cache.has("1"), cache.has("1000")]).toEqual([1_000, false, true, true]);
    remember(cache, "1", 1);
    remember(cache, "new", 1);
    expect([cache.size, cache.has("1"), cache.has("2")]).toEqual([1_000, true, false]);
  });
});

describe("what is too large is refused before anything is done:", () => {
  const measured = async (
    key: string | null,
    method: string,
    path: string,
    init: { body?: string; headers?: HeadersInit },
  ) => {
    const meter = meterD1(env.DB);
    const answer = await client(envWithD1(meter.db), { key }).request(method, path, init);
    return { ...answer, trips: meter.trips };
  };
  const TOO_LONG = 8 * 1024 + 1;

  it.each(["Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Content-Type", "Accept"])(
    "%s of more than 8 KiB",
    async (name) => {
      for (const [method, path] of [
        ["GET", PAYMENTS],
        ["GET", `${PAYMENTS}/1`],
        ["GET", "/health"],
      ] as const) {
        const init = { headers: { [name]: "x".repeat(TOO_LONG) } };
        const { status, body, trips } = await measured(null, method, path, init);
        expect([status, body.type, body.detail]).toEqual([
          431,
          "/problems/headers-too-large",
          `The header ${name} is larger than 8 KiB`,
        ]);
        expect(trips).toBe(0);
      }
    },
  );

  it("a long header is not, up to 8 KiB", async () => {
    const { status } = await measured(await newKey(), "GET", PAYMENTS, {
      headers: { Accept: "x".repeat(TOO_LONG - 1) },
    });
    expect(status).toBe(200);
  });

  it("a body of more than 64 KiB, with and without a key", async () => {
    const body = "x".repeat(64 * 1024 + 1);
    const headers = { "Content-Length": String(body.length), "Content-Type": "application/json" };
    for (const key of [null, await unknownKey(), await newKey()]) {
      for (const path of [PAYMENTS, `${PAYMENTS}/1/confirm`, "/api/v1/api-keys", "/api/v1/merchants"]) {
        const { status, body: problem, trips } = await measured(key, "POST", path, { body, headers });
        expect([status, problem.type, trips]).toEqual([413, "/problems/body-too-large", 0]);
      }
    }
  });

  it("a body of exactly 64 KiB is read, and then validated", async () => {
    const body = JSON.stringify({ note: "x".repeat(64 * 1024 - 11) });
    expect(body).toHaveLength(64 * 1024);
    const headers = { "Content-Length": String(body.length), "Content-Type": "application/json" };
    const { status } = await measured(await newKey(), "POST", PAYMENTS, { body, headers });
    expect(status).toBe(422);
  });
});
