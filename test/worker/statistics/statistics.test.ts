/** The statistics as clients see them. */
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { PaymentResponse } from "../../../src/payment/response";
import type { Scope } from "../../../src/scopes";
import type { StatisticsResponse } from "../../../src/statistics/response";
import { client, newKey } from "../client";
import { advanceSandbox, ask, confirmedWith, resumed, api as shop } from "../operation/shop";
import { newMerchant } from "../payment-list";
import { seedPayments } from "../payment-seed";
import { caughtUp, figuresIn, make, run, STATISTICS, statisticsOf, stored } from "./shop";

const DAY_MS = 86_400_000;
const today = () => new Date().toISOString().slice(0, 10);

afterEach(() => {
  vi.restoreAllMocks();
});

it("is empty for a merchant that has no payments", async () => {
  const { api, id } = await newMerchant();
  const now = Date.now();
  const found = await statisticsOf(api);
  expect(found).toEqual({
    from: new Date(now - 29 * DAY_MS).toISOString().slice(0, 10),
    to: today(),
    is_complete: true,
    as_of: null,
    failing_webhook_endpoints: 0,
    data: [],
  });
  expect(await stored(id)).toEqual([[], []]);
});

it("counts what happened to payments, by currency, day and provider", async () => {
  const { api } = await newMerchant();
  const create = async (body: object) => (await api.create({ order_id: 1, ...body })).body.id;
  const refund = (id: number, amount: number) =>
    api.request("POST", `/api/v1/payments/${id}/refunds`, {
      body: { amount },
      headers: { "Idempotency-Key": crypto.randomUUID() },
    });
  const [first, second, third, fourth] = [
    await create({ amount: 99.99 }),
    await create({ amount: 10 }),
    await create({ amount: 20 }),
    await create({ amount: 40 }),
  ];
  const yen = await create({ amount: 5000, currency: "JPY" });
  for (const id of [first, second, yen]) expect((await api.run(id, "confirm")).status).toBe(200);
  expect((await api.run(third, "fail")).status).toBe(200);
  expect((await api.run(fourth, "cancel")).status).toBe(200);
  expect((await refund(first, 30)).status).toBe(201);
  expect((await refund(first, 20.5)).status).toBe(201);
  expect((await api.run(second, "refund")).status).toBe(200);

  const { found, requests } = await caughtUp(api);
  expect(requests).toBe(1);
  expect(found.as_of?.position).toBe(13);
  const dollars = {
    created: { count: 4, amount: 169.99 },
    confirmed: { count: 2, amount: 109.99 },
    failed: 1,
    cancelled: 1,
    expired: 0,
    refunds: { count: 3, amount: 60.5 },
    refunds_reversed: { count: 0, amount: 0 },
    success_rate: 2 / 3,
    time_to_confirm: expect.objectContaining({ average_ms: expect.any(Number) }),
  };
  const yens = {
    ...dollars,
    created: { count: 1, amount: 5000 },
    confirmed: { count: 1, amount: 5000 },
    ...{ failed: 0, cancelled: 0, refunds: { count: 0, amount: 0 }, success_rate: 1 },
  };
  const of = (currency: string, figures: object) => ({
    currency,
    figures,
    days: [{ day: today(), figures }],
    providers: [{ provider: "internal", figures }],
  });
  expect(found.data).toEqual([of("JPY", yens), of("USD", dollars)]);
  expect(await statisticsOf(api, "?currency=usd&provider=internal")).toEqual({ ...found, data: [of("USD", dollars)] });
  expect((await statisticsOf(api, "?provider=sandbox")).data).toEqual([]);
  expect((await statisticsOf(api, "?from=2020-01-01&to=2020-12-31")).data).toEqual([]);
});

it("has each event on its UTC day, and how long it took to be confirmed", async () => {
  const { api, id } = await newMerchant();
  const noon = Date.parse("2026-03-01T12:00:00Z");
  await seedPayments(id, [
    { created_at: noon - DAY_MS, amount_minor: 100 },
    { created_at: noon, amount_minor: 250 },
    { created_at: noon + 1, status: "expired" },
  ]);
  // The first one is confirmed a day and a half later.
  const at = noon + DAY_MS / 2;
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       SELECT merchant_id, 5, payment_id, 2, 'payment.confirmed', '{"status":"confirmed","captured_minor":100}', 'seed', ?2
       FROM events WHERE merchant_id = ?1 AND position = 1`,
    ).bind(id, at),
    env.DB.prepare(
      `UPDATE payments SET status = 'confirmed', captured_minor = 100, version = 2, updated_at = ?2, event_positions = '[1,5]'
       WHERE merchant_id = ?1 AND created_at = ?3`,
    ).bind(id, at, noon - DAY_MS),
  ]);
  const found = await statisticsOf(api, "?from=2026-02-28&to=2026-03-02");
  const days = found.data[0]?.days.map(({ day, figures: { created, confirmed, expired } }) => [
    ...[day, created.count, created.amount, confirmed.count, confirmed.amount, expired],
  ]);
  expect(days).toEqual([
    ["2026-02-28", 1, 1, 0, 0, 0],
    ["2026-03-01", 2, 3.5, 0, 0, 1],
    ["2026-03-02", 0, 0, 1, 1, 0],
  ]);
  expect(found.as_of).toEqual({ position: 5, timestamp: "2026-03-02T00:00:00.000Z" });
  const took = 1.5 * DAY_MS;
  const told = figuresIn(found)?.time_to_confirm;
  expect(told?.average_ms).toBe(took);
  expect(told?.median_ms).toBeGreaterThanOrEqual(took);
  expect((told?.median_ms ?? 0) * 0.8).toBeLessThanOrEqual(took);
  expect((await statisticsOf(api, "?from=2026-03-01&to=2026-03-01")).data[0]?.days).toHaveLength(1);
});

describe("a question", () => {
  const api = client();

  it.each([
    ["from=2026-1-16", "from", "Must be a date from 1970 on, such as 2026-01-16"],
    ["from=2026-02-30", "from", "Must be a date from 1970 on, such as 2026-01-16"],
    ["from=1969-12-31", "from", "Must be a date from 1970 on, such as 2026-01-16"],
    ["to=2026-01-16T00:00:00Z", "to", "Must be a date from 1970 on, such as 2026-01-16"],
    ["from=2026-01-16&from=2026-01-16", "from", "Must be given once"],
    ["from=2026-01-17&to=2026-01-16", "from", "Must not be after `to`"],
    ["from=2024-01-01&to=2025-01-01", "from", "Must be at most 366 days in all"],
    ["from=2024-01-01", "from", "Must be at most 366 days in all"],
    ["currency=XXX", "currency", "Must be the ISO 4217 code of a currency in use"],
    ["provider=paypal", "provider", "Must be one of internal, sandbox, stripe, mollie"],
    ["day=2026-01-16", "day", "Unknown parameter"],
  ])("with %s is refused", async (query, parameter, detail) => {
    const { status, body } = await api.request("GET", `${STATISTICS}?${query}`);
    expect([status, body.errors]).toEqual([422, [{ detail, parameter }]]);
  });

  it.each([
    ["from=2024-01-01&to=2024-12-31", "2024-01-01", "2024-12-31"],
    ["to=2024-02-29", "2024-01-31", "2024-02-29"],
    ["to=1970-01-02", "1970-01-01", "1970-01-02"],
    ["from=9999-12-31", "9999-12-31", "9999-12-31"],
  ])("with %s is about its days", async (query, from, to) => {
    expect(await statisticsOf(api, `?${query}`)).toMatchObject({ from, to });
  });

  it("about more totals than one answer has is refused", async () => {
    const { id, api: own } = await newMerchant();
    await env.DB.prepare(
      `INSERT INTO daily_totals SELECT ?1, day.value, currency.value, 'provider ' || provider.value,
         0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}'
       FROM json_each(?2) AS day, json_each('["USD","EUR"]') AS currency, json_each(?3) AS provider`,
    )
      .bind(
        id,
        JSON.stringify(Array.from({ length: 366 }, (_, day) => day)),
        JSON.stringify(Array.from({ length: 28 }, (_, provider) => provider)),
      )
      .run();
    const { status, body } = await own.request("GET", `${STATISTICS}?from=1970-01-01&to=1971-01-01`);
    expect([status, body.detail]).toEqual([
      422,
      "from: These days have too many figures for one answer: ask for fewer, or for one currency",
    ]);
    expect((await statisticsOf(own, "?from=1970-01-01&to=1971-01-01&currency=EUR")).data).toHaveLength(1);
  });
});

it("tells of failing webhook endpoints who may see them, and of nobody else's figures", async () => {
  const { id, api } = await newMerchant();
  const stranger = await newMerchant();
  await make(id);
  for (const port of [1, 2, 3, 4]) {
    await api.request("POST", "/api/v1/webhook-endpoints", { body: { url: `https://shop.example.com/${port}` } });
  }
  await env.DB.prepare(
    `UPDATE webhook_endpoints SET failing_since = iif(url LIKE '%1', NULL, 1), deleted_at = iif(url LIKE '%2', 1, NULL),
       disabled_at = iif(url LIKE '%3', 1, NULL), disabled_reason = iif(url LIKE '%3', 'failing', NULL) WHERE merchant_id = ?`,
  )
    .bind(id)
    .run();
  expect((await statisticsOf(api)).failing_webhook_endpoints).toBe(1);
  const only = async (...scopes: Scope[]) => client(undefined, { key: await newKey(scopes, id) });
  const narrow = await statisticsOf(await only("payments:read"));
  expect([narrow.failing_webhook_endpoints, figuresIn(narrow)?.created.count]).toEqual([null, 1]);
  expect(await statisticsOf(stranger.api)).toMatchObject({ data: [], as_of: null, failing_webhook_endpoints: 0 });
});

it("agrees with the payments that the API lists, of three thousand of which some were refunded in parts", async () => {
  const { id, api } = await newMerchant();
  const COUNT = 3_000;
  const statuses = ["pending", "confirmed", "failed", "cancelled", "refunded", "expired", "confirmed"] as const;
  const begun = Date.now() - 9 * DAY_MS;
  const seeded = await seedPayments(
    id,
    Array.from({ length: COUNT }, (_, n) => ({
      amount_minor: 1_000 * (n + 1),
      currency: ["USD", "KWD", "JPY"][n % 3] ?? "USD",
      status: statuses[n % statuses.length] ?? "pending",
      created_at: begun + n * (DAY_MS / 400),
    })),
  );
  const parts = new Map([
    ["USD", "1.01"],
    ["KWD", "0.001"],
    ["JPY", "7"],
  ]);
  const counts = new Map<number, number>();
  const confirmed = seeded.filter(({ status }) => status === "confirmed").slice(0, 60);
  for (const [n, payment] of confirmed.entries()) {
    const times = 1 + (n % 3);
    for (let part = 0; part < times; part++) await run(id, payment.id, "refund", parts.get(payment.currency));
    if (n % 2 === 0) await run(id, payment.id, "refund");
    counts.set(payment.id, times + (n % 2 === 0 ? 1 : 0));
  }
  const { found, requests } = await caughtUp(api);
  expect(requests).toBe(Math.ceil((found.as_of?.position ?? 0) / 1_000));
  expect(requests).toBeGreaterThan(4);

  const payments: PaymentResponse[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const path: string = `/api/v1/payments?limit=100${cursor && `&cursor=${cursor}`}`;
    const page = await api.request<{ data: PaymentResponse[]; next_cursor: string | null }>("GET", path);
    payments.push(...page.body.data);
    cursor = page.body.next_cursor;
  }
  expect(payments).toHaveLength(COUNT);
  for (const [currency, digits] of [
    ["USD", 2],
    ["KWD", 3],
    ["JPY", 0],
  ] as const) {
    const own = payments.filter((payment) => payment.currency === currency);
    const paid = own.filter(({ status }) => status === "confirmed" || status === "refunded");
    // In units that are whole: decimals do not add up.
    const sum = (of: (payment: PaymentResponse) => number) =>
      own.reduce((all, payment) => all + Math.round(of(payment) * 10 ** digits), 0) / 10 ** digits;
    const figures = figuresIn(found, currency);
    expect(figures).toMatchObject({
      created: { count: own.length, amount: sum(({ amount }) => amount) },
      confirmed: { count: paid.length, amount: sum(({ amount_captured }) => amount_captured) },
      failed: own.filter(({ status }) => status === "failed").length,
      cancelled: own.filter(({ status }) => status === "cancelled").length,
      refunds: { amount: sum(({ amount_refunded }) => amount_refunded) },
    });
    const refunds = own.map((payment) => counts.get(payment.id) ?? Number(payment.status === "refunded"));
    expect(figures?.refunds.count).toBe(refunds.reduce((all, count) => all + count, 0));
    expect(figures?.refunds.amount).toBeGreaterThan(0);
  }
});

it("takes a refund that fails later off the refunds again", async () => {
  const before = (await caughtUp(shop)).found;
  const { id } = (await confirmedWith("test_refund_fails_later")).body;
  const refund = (amount: number) => ask(id, "refunds", { amount });
  expect((await refund(40)).status).toBe(201);
  const between = (await caughtUp(shop)).found;
  const of = (found: StatisticsResponse) => {
    const { refunds, refunds_reversed } = figuresIn(found, "USD") ?? { refunds: null, refunds_reversed: null };
    return [refunds, refunds_reversed];
  };
  expect(before.data).toEqual([]);
  expect(of(between)).toEqual([
    { count: 1, amount: 40 },
    { count: 0, amount: 0 },
  ]);
  await advanceSandbox(4_000);
  expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_refunded: 0 });
  const after = (await caughtUp(shop)).found;
  expect(of(after)).toEqual([
    { count: 0, amount: 0 },
    { count: 1, amount: 40 },
  ]);
  expect(after.data[0]?.providers.map(({ provider }) => provider)).toEqual(["sandbox"]);
});
