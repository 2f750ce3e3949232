import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { app } from "../../../src/app";
import { client } from "../client";
import { instrumentD1, type Meter, meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { CSV, exported, parse } from "../payment-file";
import { newMerchant, PAYMENTS, pathOf, type Query } from "../payment-list";

const leases = async (id: number) =>
  (await env.DB.prepare("SELECT slot, ends_at FROM leases WHERE merchant_id = ?").bind(id).all<{ ends_at: number }>())
    .results;

/** The file as it comes from a service with this D1. */
async function openFile(
  key: string,
  db: D1Database,
  query: Query = {},
): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const headers = { Accept: "text/csv", Authorization: `Bearer ${key}` };
  const request = new Request(`http://localhost${pathOf(query)}`, { headers });
  const { status, body } = await app.fetch(request, envWithD1(db), createExecutionContext());
  expect(status).toBe(200);
  if (!body) throw new Error("An answer without a body");
  return body.getReader();
}

describe("a file of many pages", () => {
  const COUNT = 1_200;
  let merchant: Awaited<ReturnType<typeof newMerchant>>;

  beforeAll(async () => {
    merchant = await newMerchant();
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${COUNT})
       INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at)
       SELECT ?1, i, i, iif(i = 1, 'JPY', 'USD'), 'pending', 'internal', 1, ?2, ?2 FROM n`,
    )
      .bind(merchant.id, Date.now())
      .run();
  });

  afterAll(() => env.DB.prepare("DELETE FROM payments WHERE merchant_id = ?").bind(merchant.id).run());

  // A file that breaks off because D1 does cannot give its lease back, which then ends by itself.
  afterEach(() => env.DB.prepare("DELETE FROM leases WHERE merchant_id = ?").bind(merchant.id).run());

  const open = (db: D1Database, query: Query = {}) => openFile(merchant.key, db, query);
  const text = ({ value }: { value?: Uint8Array | undefined }) => new TextDecoder().decode(value);

  it("has every payment once, newest first", async () => {
    const orders = parse(await exported(merchant.api))
      .slice(1)
      .map(([, order]) => Number(order));
    expect(orders).toEqual(Array.from({ length: COUNT }, (_, n) => COUNT - n));
    expect(parse(await exported(merchant.api, { limit: 100 }))).toHaveLength(101);
  });

  it("has what is rare, however many payments are between", async () => {
    const [, ...records] = parse(await exported(merchant.api, { currency: "JPY" }));
    expect(records.map(([, order]) => order)).toEqual(["1"]);
  });

  it("is read page by page, as the client takes it", async () => {
    const meter: Meter = meterD1(env.DB);
    const file = await open(meter.db);
    // The key has been looked up, a lease taken, the first page read, and the end of the file found.
    const before = meter.trips;
    expect(before).toBe(4);
    const trips: number[] = [];
    for (let chunk = await file.read(); !chunk.done; chunk = await file.read()) trips.push(meter.trips - before);
    // The names, then each page; none is read further ahead than the client has come.
    expect(trips).toHaveLength(4);
    for (const [n, asked] of trips.entries()) expect(asked).toBeLessThanOrEqual(n + 1);
    // The lease renewed, two more pages, and the lease given back.
    expect(meter.trips - before).toBe(4);
  });

  it("is not read on when the client goes away, which is no failure", async () => {
    const logged = vi.spyOn(console, "error");
    const meter = meterD1(env.DB);
    const file = await open(meter.db);
    await file.read();
    await file.read();
    await file.cancel();
    await expect.poll(() => leases(merchant.id)).toEqual([]);
    const asked = meter.trips;
    // As before the file began, the lease renewed, one page more, and the lease given back.
    expect(asked).toBeLessThanOrEqual(7);
    expect(parse(await exported(merchant.api))).toHaveLength(COUNT + 1);
    expect(meter.trips).toBe(asked);
    expect(logged).not.toHaveBeenCalled();
    logged.mockRestore();
  });

  it("breaks off, and does not end, when D1 fails in the middle", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    let left = 5;
    const file = await open(
      instrumentD1(env.DB, (roundTrip) =>
        left-- > 0 ? roundTrip() : Promise.reject(new Error("D1_ERROR: no such table: payments: SQLITE_ERROR")),
      ),
    );
    const read = async () => {
      let whole = "";
      for (let chunk = await file.read(); !chunk.done; chunk = await file.read()) whole += text(chunk);
      return whole;
    };
    await expect(read()).rejects.toThrow();
    // Nobody else tells the operator: the request was logged as answered.
    const [line] = logged.mock.calls.map(([message]) => JSON.parse(String(message)));
    expect(line).toMatchObject({ message: "export broken off", request_id: expect.any(String) });
    expect(JSON.stringify(line)).toContain("no such table");
    logged.mockRestore();
  });

  it("outlives an outage that a retry mends", async () => {
    let trip = 0;
    const file = await open(
      instrumentD1(env.DB, (roundTrip) =>
        trip++ === 5 ? Promise.reject(new Error("D1_ERROR: Network connection lost.")) : roundTrip(),
      ),
    );
    let whole = "";
    for (let chunk = await file.read(); !chunk.done; chunk = await file.read()) whole += text(chunk);
    expect(parse(whole)).toHaveLength(COUNT + 1);
  });

  it("costs nothing to HEAD", async () => {
    const meter = meterD1(env.DB);
    const headers = { Accept: "text/csv", Authorization: `Bearer ${merchant.key}` };
    const request = new Request("http://localhost/api/v1/payments", { method: "HEAD", headers });
    const answer = await app.fetch(request, envWithD1(meter.db), createExecutionContext());
    expect([answer.status, answer.headers.get("Content-Type"), answer.body]).toEqual([200, CSV, null]);
    expect(meter.trips).toBe(1);
    expect(await leases(merchant.id)).toEqual([]);
  });

  it("is counted as heavy, and what is beyond the quota costs D1 nothing", async () => {
    const meter = meterD1(env.DB);
    const refusing: Env = { ...envWithD1(meter.db), HEAVY_RATE: { limit: async () => ({ success: false }) } };
    const api = client(refusing, { key: merchant.key });
    await api.get(1);
    const before = meter.trips;
    const { status, headers } = await api.request("GET", PAYMENTS, { headers: { Accept: "text/csv" } });
    expect([status, headers.get("RateLimit-Policy"), meter.trips - before]).toEqual([429, '"heavy";q=10;w=60', 0]);
    expect((await api.request("GET", pathOf({ limit: 1 }), { headers: { Accept: "text/csv" } })).status).toBe(200);
  });

  it("takes a lease of its merchant while it is read, of which there are two", async () => {
    const files = [await open(env.DB), await open(env.DB)];
    const headers = { Accept: "text/csv" };
    const third = await merchant.api.request("GET", PAYMENTS, { headers });
    expect([third.status, third.body.type, third.headers.get("Retry-After")]).toEqual([
      429,
      "/problems/too-many-at-once",
      "5",
    ]);
    // A page takes none.
    expect(parse(await exported(merchant.api, { limit: 100 }))).toHaveLength(101);
    for (const file of files) while (!(await file.read()).done);
    await expect.poll(() => leases(merchant.id)).toEqual([]);
    expect(parse(await exported(merchant.api))).toHaveLength(COUNT + 1);
  });
});

describe("a file of more payments than one may go through", () => {
  // 50,000 go into one file; the tenth before its end is of the same millisecond as the tenth after it.
  const COUNT = 56_010;
  // The last of the first page, which looks at 5,000, and the first after it; one far behind pages without any; the last
  // of the first file, and the first after it.
  const YEN = [51_011, 51_010, 30_000, 6_011, 6_010, 5];
  let merchant: Awaited<ReturnType<typeof newMerchant>>;

  beforeAll(async () => {
    merchant = await newMerchant();
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${COUNT})
       INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at)
       SELECT ?1, i, i, iif(i IN (${YEN}), 'JPY', 'USD'), iif(i BETWEEN 6001 AND 6020 OR i BETWEEN 40001 AND 40600, 'failed', 'pending'),
         'internal', 1, ?2 + i / 20, ?2 + i / 20 FROM n`,
    )
      .bind(merchant.id, Date.now() - COUNT)
      .run();
  });

  afterAll(() => env.DB.prepare("DELETE FROM payments WHERE merchant_id = ?").bind(merchant.id).run());

  /** The orders in the file, where it leads on, and what it has cost. */
  async function file(query: Query) {
    const meter = meterD1(env.DB);
    const headers = { Accept: "text/csv" };
    const answer = await client(envWithD1(meter.db), { key: merchant.key }).request("GET", pathOf(query), { headers });
    expect(answer.status).toBe(200);
    const orders = parse(String(answer.body))
      .slice(1)
      .map(([, order]) => Number(order));
    return { orders, link: answer.headers.get("Link"), cursor: answer.headers.get("Next-Cursor"), meter };
  }

  it("keeps its lease while it is read slowly, and breaks off when others have taken all", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const start = Date.now();
    const clock = vi.spyOn(Date, "now").mockReturnValue(start);
    try {
      const file = await openFile(merchant.key, env.DB);
      const endsAt = async () => (await leases(merchant.id))[0]?.ends_at;
      /** Reads on until the lease ends at another time, which is not long. */
      const readUntilItEnds = async (at: number) => {
        for (let n = 0; n < 5 && (await endsAt()) !== at; n++) await file.read();
        expect(await endsAt()).toBe(at);
      };
      // Who has not begun to read is soon taken for gone.
      expect(await endsAt()).toBe(start + 10_000);
      await readUntilItEnds(start + 60_000);
      clock.mockReturnValue(start + 31_000);
      await readUntilItEnds(start + 31_000 + 60_000);
      clock.mockReturnValue(start + 120_000);
      await env.DB.prepare("UPDATE leases SET holder = 'another', ends_at = ? WHERE merchant_id = ?")
        .bind(start + 180_000, merchant.id)
        .run();
      await env.DB.prepare("INSERT INTO leases VALUES (?, 2, 'a third', ?)")
        .bind(merchant.id, start + 180_000)
        .run();
      const rest = async () => {
        while (!(await file.read()).done);
      };
      await expect(rest()).rejects.toThrow();
    } finally {
      clock.mockRestore();
      logged.mockRestore();
      await env.DB.prepare("DELETE FROM leases WHERE merchant_id = ?").bind(merchant.id).run();
    }
  });

  it("ends, and leads on to the rest, with none skipped or repeated", async () => {
    const first = await file({});
    expect(first.orders).toEqual(Array.from({ length: 50_000 }, (_, n) => COUNT - n));
    expect(first.link).toContain(`</api/v1/payments?cursor=${first.cursor}>; rel="next"`);
    // 101 pages, the look for the end, and three for the lease: taken, renewed and given back.
    expect(first.meter.trips).toBeLessThanOrEqual(107);
    // Each is read in the index, itself, twice more to add up its bytes, and in the index to find the end.
    expect(first.meter.rowsRead).toBeLessThanOrEqual(5 * 50_000 + 1_000);
    const rest = await file({ cursor: first.cursor ?? "" });
    expect(rest.orders).toEqual(Array.from({ length: 6_010 }, (_, n) => 6_010 - n));
    expect([rest.link, rest.cursor]).toEqual([null, null]);
  });

  it("ends also where nothing matches, for a bounded number of rows", async () => {
    const first = await file({ currency: "EUR" });
    expect(first.orders).toEqual([]);
    // Ten pages of 5,000 payments; each is read in the index, itself, and in the index for two ends.
    expect(first.meter.trips).toBeLessThanOrEqual(16);
    expect(first.meter.rowsRead).toBeLessThanOrEqual(4 * 50_000 + 1_000);
    const rest = await file({ currency: "EUR", cursor: first.cursor ?? "" });
    expect([rest.orders, rest.cursor]).toEqual([[], null]);
  });

  it("has what is rare, before, between and after pages without any, and at its own end", async () => {
    const first = await file({ currency: "JPY" });
    expect(first.orders).toEqual([51_011, 51_010, 30_000, 6_011]);
    const rest = await file({ currency: "JPY", cursor: first.cursor ?? "" });
    expect([rest.orders, rest.cursor]).toEqual([[6_010, 5], null]);
  });

  it("ends where it must also when a full page has moved those after it", async () => {
    const from = (newest: number, oldest: number) => Array.from({ length: newest - oldest + 1 }, (_, n) => newest - n);
    const first = await file({ status: "failed" });
    // The 500 of a page end in the middle of what the page before has begun, and the last page goes beyond the end.
    expect(first.orders).toEqual([...from(40_600, 40_001), ...from(6_020, 6_011)]);
    // The look for the key, eleven pages, the end of the file, and the lease taken, renewed and given back: none beyond the end.
    expect(first.meter.trips).toBe(16);
    const rest = await file({ status: "failed", cursor: first.cursor ?? "" });
    expect([rest.orders, rest.cursor]).toEqual([from(6_010, 6_001), null]);
  });
});

describe("a file of large payments", () => {
  it("is read a megabyte at a time at most", async () => {
    const { id, api, key } = await newMerchant();
    const metadata = JSON.stringify(
      Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`${n + 10}`, "v".repeat(490)])),
    );
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
       INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at,
         metadata)
       SELECT ?1, i, i, 'USD', 'pending', 'internal', 1, 1000 + i, 1000 + i, iif(i % 7 = 0, '{}', ?2) FROM n`,
    )
      .bind(id, metadata)
      .run();
    const answered: number[] = [];
    const sized = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      answered.push(JSON.stringify(answer).length);
      return answer;
    });
    for (const query of [{}, { status: "pending" }]) {
      const headers = { Accept: "text/csv" };
      const { body } = await client(envWithD1(sized), { key }).request("GET", pathOf(query), { headers });
      const orders = parse(String(body))
        .slice(1)
        .map(([, order]) => Number(order));
      expect(orders).toEqual(Array.from({ length: 700 }, (_, n) => 700 - n));
    }
    // JSON has the names of the columns and escapes the quotes, which D1's own answers need not.
    expect(Math.max(...answered)).toBeLessThan(1_150_000);
    expect(Math.max(...answered)).toBeGreaterThan(900_000);
    expect(parse(await exported(api, { limit: 3 }))).toHaveLength(4);
    await env.DB.prepare("DELETE FROM payments WHERE merchant_id = ?").bind(id).run();
  });
});
