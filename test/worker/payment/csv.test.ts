import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { app } from "../../../src/app";
import { type Client, client, ORDER } from "../client";
import { instrumentD1, type Meter, meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { list, newMerchant, pathOf, type Query } from "../payment-list";

const HEAD = "id,order_id,amount,currency,status,provider,created_at,updated_at,metadata";
const CSV = "text/csv; charset=utf-8";

async function exported(api: Client, query: Query = {}, accept = "text/csv"): Promise<string> {
  const { status, headers, body } = await api.request("GET", pathOf(query), { headers: { Accept: accept } });
  expect([status, headers.get("Content-Type")]).toEqual([200, CSV]);
  expect(headers.get("Content-Disposition")).toBe('attachment; filename="payments.csv"');
  return String(body);
}

/** Reads RFC 4180: lines end with CRLF, a quoted field may have commas, quotes and line breaks. */
function parse(file: string): string[][] {
  const records: string[][] = [];
  let rest = file;
  while (rest !== "") {
    const record: string[] = [];
    for (let end = ","; end === ","; ) {
      const [whole, quoted, plain = "", after = ""] = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/.exec(rest) ?? [];
      if (whole === undefined) throw new Error(`No record of RFC 4180: ${rest.slice(0, 80)}`);
      record.push(quoted?.replaceAll('""', '"') ?? plain);
      rest = rest.slice(whole.length);
      end = after;
    }
    records.push(record);
  }
  return records;
}

describe("the file", () => {
  it("has a line of names, then each payment as the list shows it", async () => {
    const { api } = await newMerchant();
    await api.create({ order_id: 1, amount: 0.5, currency: "EUR" });
    const { body } = await api.create({ order_id: 2, amount: 5000, currency: "JPY", metadata: { cart: "c-7" } });
    await api.run(body.id, "confirm");
    const [head, ...records] = parse(await exported(api));
    expect(head?.join(",")).toBe(HEAD);
    const { data } = await list(api);
    expect(records).toEqual(
      data.map(({ metadata, ...shown }) => [...Object.values(shown).map(String), JSON.stringify(metadata)]),
    );
  });

  it("is no more than the names where nothing matches", async () => {
    const { api } = await newMerchant();
    expect(await exported(api)).toBe(`${HEAD}\r\n`);
    expect(await exported(api, { limit: 5 })).toBe(`${HEAD}\r\n`);
  });

  it("keeps whatever is in metadata", async () => {
    const { api } = await newMerchant();
    const metadata = { 'a "quote"': 'x,y\r\n"z"', "käse 🧀": "=1+1", plain: "", '","': "\n" };
    await api.create({ ...ORDER, metadata });
    const [, record] = parse(await exported(api));
    expect(JSON.parse(record?.at(-1) ?? "")).toEqual(metadata);
    // What a spreadsheet takes for a formula begins with one of these.
    expect(record?.filter((field) => /^[=+\-@\t\r]/.test(field))).toEqual([]);
  });

  it("answers the same question as the list", async () => {
    const { api } = await newMerchant();
    for (const order_id of [1, 2, 1]) await api.create({ ...ORDER, order_id });
    const ids = parse(await exported(api, { order_id: 1, status: "pending" }))
      .slice(1)
      .map(([id]) => Number(id));
    expect(ids).toEqual((await list(api, { order_id: 1 })).data.map(({ id }) => id));
  });

  it("has one page with limit or a cursor, and the links on", async () => {
    const { api } = await newMerchant();
    for (let n = 0; n < 3; n++) await api.create(ORDER);
    const { data, next_cursor, previous_cursor } = await list(api, { limit: 2 });
    const ids = async (query: Query) =>
      parse(await exported(api, query))
        .slice(1)
        .map(([id]) => Number(id));
    const [c, b, a] = [data[0]?.id, data[1]?.id, (data[1]?.id ?? 0) - 1];
    expect(await ids({ limit: 2 })).toEqual([c, b]);
    expect(await ids({ cursor: next_cursor ?? "" })).toEqual([a]);
    expect(await ids({ cursor: previous_cursor ?? "" })).toEqual([]);
    const { headers } = await api.request("GET", pathOf({ limit: 2 }), { headers: { Accept: "text/csv" } });
    expect(headers.get("Link")).toContain(`cursor=${next_cursor}>; rel="next"`);
  });

  it("is refused like the list, as a problem", async () => {
    const { status, headers } = await client().request("GET", pathOf({ limit: 0 }), {
      headers: { Accept: "text/csv" },
    });
    expect([status, headers.get("Content-Type")]).toEqual([422, "application/problem+json"]);
  });
});

describe("Accept", () => {
  it.each([
    "text/csv",
    "TEXT/CSV",
    "text/csv; charset=utf-8",
    "text/csv;q=0.9, application/json;q=0.5",
    "application/json;q=0.1,text/csv",
    "text/csv, */*;q=0.1",
    "text/csv, */*",
    "text/*",
    "text/html, text/csv",
    "application/json;q=0, text/csv;q=0.1",
  ])("%j gives CSV", async (accept) => {
    const { api } = await newMerchant();
    await exported(api, { limit: 1 }, accept);
  });

  it.each([
    "application/json",
    "*/*",
    "",
    "application/json, text/csv;q=0.5",
    "application/json, text/csv",
    "text/csv;q=0",
    "text/csv;q=0.0, */*",
    "text/csv;q=0.2, application/json;q=0.3",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "text/csvx",
    "application/text/csv",
    "image/png",
    ",;=",
  ])("%j gives JSON", async (accept) => {
    const { headers } = await client().request("GET", pathOf({ limit: 1 }), { headers: { Accept: accept } });
    expect(headers.get("Content-Type")).toBe("application/json");
  });
});

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

  /** The file as it comes from a service with this D1. */
  async function open(db: D1Database, query: Query = {}): Promise<ReadableStreamDefaultReader<Uint8Array>> {
    const headers = { Accept: "text/csv", Authorization: `Bearer ${merchant.key}` };
    const request = new Request(`http://localhost${pathOf(query)}`, { headers });
    const { status, body } = await app.fetch(request, envWithD1(db), createExecutionContext());
    expect(status).toBe(200);
    if (!body) throw new Error("An answer without a body");
    return body.getReader();
  }

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
    // The key has been looked up, and nothing else has been asked.
    const before = meter.trips;
    expect(before).toBe(1);
    const trips: number[] = [];
    for (let chunk = await file.read(); !chunk.done; chunk = await file.read()) trips.push(meter.trips - before);
    // The names, then each page; none is read further ahead than the client has come.
    expect(trips).toHaveLength(4);
    for (const [n, asked] of trips.entries()) expect(asked).toBeLessThanOrEqual(n + 1);
    expect(meter.trips - before).toBe(3);
  });

  it("is not read on when the client goes away, which is no failure", async () => {
    const logged = vi.spyOn(console, "error");
    const meter = meterD1(env.DB);
    const file = await open(meter.db);
    await file.read();
    await file.read();
    await file.cancel();
    const asked = meter.trips;
    expect(asked).toBeLessThanOrEqual(3);
    expect(parse(await exported(merchant.api))).toHaveLength(COUNT + 1);
    expect(meter.trips).toBe(asked);
    expect(logged).not.toHaveBeenCalled();
    logged.mockRestore();
  });

  it("breaks off, and does not end, when D1 fails in the middle", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    let left = 3;
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
        trip++ === 2 ? Promise.reject(new Error("D1_ERROR: Network connection lost.")) : roundTrip(),
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
  });
});
