import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { makeApiKey } from "../../../src/auth/api-key";
import { client, newKey, ORDER } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";

const PAYMENTS = "/api/v1/payments";

const refuses = (): RateLimit => ({ limit: async () => ({ success: false }) });

/** A limit that counts, and lets so many through. */
function allows(quota: number) {
  const asked: string[] = [];
  const limit = async ({ key }: RateLimitOptions) => ({ success: asked.push(key) <= quota });
  return { asked, binding: { limit } satisfies RateLimit };
}

describe("requests of a key beyond its quota", () => {
  it("are refused, and told when to come back", async () => {
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

describe("an address that tries keys", () => {
  /** An isolate of its own, whose D1 is metered, and what it answers to a key from an address. */
  function isolate(changes: Partial<Env> = {}) {
    const meter = meterD1(env.DB);
    const api = client({ ...envWithD1(meter.db), ...changes }, { key: null });
    const ask = (key: string, from: string) =>
      api.request("GET", PAYMENTS, { headers: { Authorization: `Bearer ${key}`, "CF-Connecting-IP": from } });
    return { meter, ask };
  }

  it("is refused after 20 a minute, and no other is", async () => {
    const { meter, ask } = isolate();
    const from = "192.0.2.1";
    const statuses: number[] = [];
    // The limit's minutes are the clock's, so a run may see the end of one and all of the next.
    while (!statuses.includes(429) && statuses.length < 41) statuses.push((await ask(makeApiKey().key, from)).status);
    expect(statuses.at(-1)).toBe(429);
    expect(statuses.length).toBeGreaterThan(20);
    expect(statuses.slice(0, -1).every((status) => status === 401)).toBe(true);

    const { headers } = await ask("pay_mistyped", from);
    expect(headers.get("Retry-After")).toBe("60");
    expect(headers.get("RateLimit-Policy")).toBe('"address";q=20;w=60');
    expect(headers.get("RateLimit")).toBe('"address";r=0;t=60');

    const { trips } = meter;
    expect((await ask(makeApiKey().key, from)).status).toBe(429);
    expect(meter.trips).toBe(trips);
    expect((await ask(makeApiKey().key, "192.0.2.2")).status).toBe(401);
    expect(meter.trips).toBe(trips + 1);
  });

  it("is not counted for keys that are valid, or for none", async () => {
    const { asked, binding } = allows(0);
    const { ask } = isolate({ FAILURE_RATE: binding });
    const key = await newKey();
    for (let n = 0; n < 3; n++) expect((await ask(key, "192.0.2.3")).status).toBe(200);
    const anonymous = client({ ...env, FAILURE_RATE: binding }, { key: null });
    expect((await anonymous.request("GET", PAYMENTS)).status).toBe(401);
    expect(asked).toEqual([]);
  });

  it("is let in with a key that is remembered, for many may share an address", async () => {
    const { ask } = isolate({ FAILURE_RATE: refuses() });
    const [key, from] = [await newKey(), "192.0.2.4"];
    expect((await ask(key, from)).status).toBe(200);
    expect((await ask(makeApiKey().key, from)).status).toBe(429);
    expect((await ask(key, from)).status).toBe(200);
    expect((await ask(env.ADMIN_KEY ?? "", from)).status).toBe(403);
  });

  it("does not keep out a key that was valid there, once it is looked up anew", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { ask } = isolate({ FAILURE_RATE: refuses() });
    const [key, from] = [await newKey(), "192.0.2.7"];
    expect((await ask(key, from)).status).toBe(200);
    expect((await ask(makeApiKey().key, from)).status).toBe(429);
    // A key is remembered for 30 s, within which a revocation elsewhere is felt.
    vi.setSystemTime(now + 30_001);
    expect((await ask(makeApiKey().key, from)).status).toBe(429);
    expect((await ask(key, from)).status).toBe(200);
    vi.useRealTimers();
  });

  it("is never told that a good key is wrong: only to come back", async () => {
    const from = "192.0.2.5";
    let refusals = 1;
    const once: RateLimit = { limit: async () => ({ success: refusals-- <= 0 }) };
    const { ask } = isolate({ FAILURE_RATE: once });
    const key = await newKey();
    expect((await ask(makeApiKey().key, from)).status).toBe(429);
    // The limit counts anew by now, and the address is still refused a look-up.
    expect((await ask(key, from)).status).toBe(429);
    expect((await ask(key, "192.0.2.6")).status).toBe(200);
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

  it("a body of more than 64 KiB, whoever sends it", async () => {
    const body = "x".repeat(64 * 1024 + 1);
    const headers = { "Content-Length": String(body.length), "Content-Type": "application/json" };
    for (const key of [null, makeApiKey().key, await newKey()]) {
      for (const path of [PAYMENTS, `${PAYMENTS}/1/confirm`, "/api/v1/api-keys", "/api/v1/merchants"]) {
        const { status, body: problem, trips } = await measured(key, "POST", path, { body, headers });
        expect([status, problem.type, trips]).toEqual([413, "/problems/body-too-large", 0]);
      }
    }
  });

  it("a body of exactly 64 KiB is read, and then judged", async () => {
    const body = JSON.stringify({ note: "x".repeat(64 * 1024 - 11) });
    expect(body).toHaveLength(64 * 1024);
    const headers = { "Content-Length": String(body.length), "Content-Type": "application/json" };
    const { status } = await measured(await newKey(), "POST", PAYMENTS, { body, headers });
    expect(status).toBe(422);
  });
});
