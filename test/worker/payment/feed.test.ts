import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { Action } from "../../../src/payment/lifecycle";
import { PaymentEventSchema } from "../../../src/payment/routes/event-schemas";
import { type Client, client, newKey, ORDER, paymentIn } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { newMerchant } from "../payment-list";
import { type SeededPayment, seedPayments } from "../payment-seed";

const EVENTS = "/api/v1/events";

const FeedPage = z.object({ data: z.array(PaymentEventSchema), has_more: z.boolean(), next_cursor: z.string() });
type Event = z.output<typeof PaymentEventSchema>;

async function page(api: Client, query: Record<string, string | number> = {}) {
  const search = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const { status, body } = await api.request("GET", `${EVENTS}?${search}`);
  expect(status).toBe(200);
  return FeedPage.parse(body);
}

/** Follows the feed to its end. */
async function follow(api: Client, query: Record<string, string | number> = {}, cursor?: string) {
  const events: Event[] = [];
  let next = cursor;
  for (;;) {
    const { data, has_more, next_cursor } = await page(api, { ...query, ...(next !== undefined && { cursor: next }) });
    events.push(...data);
    if (!has_more) return { events, cursor: next_cursor };
    // Or it would never end.
    expect(next_cursor).not.toBe(next);
    next = next_cursor;
  }
}

const idsOf = (events: readonly Event[]) => events.map(({ id }) => id);

describe("the feed", () => {
  it("tells what has happened to all payments, in the order in which it happened", async () => {
    const { api } = await newMerchant();
    const [one, other] = [await paymentIn("pending", api), await paymentIn("confirmed", api)];
    await api.run(one.id, "fail", "failing");
    await api.run(other.id, "refund");
    const { events } = await follow(api);
    expect(events.map(({ id, type }) => [id, type])).toEqual([
      [`evt_${one.id}_1`, "payment.created"],
      [`evt_${other.id}_1`, "payment.created"],
      [`evt_${other.id}_2`, "payment.confirmed"],
      [`evt_${one.id}_2`, "payment.failed"],
      [`evt_${other.id}_3`, "payment.refunded"],
    ]);
    const [failed, refunded] = events.slice(3);
    expect(failed).toMatchObject({
      data: { status: "failed" },
      previous: { status: "pending" },
      idempotency_key: "failing",
    });
    expect(refunded).toMatchObject({ data: { status: "refunded" }, previous: { status: "confirmed" } });
    expect(refunded?.idempotency_key).toBeNull();
    expect(events[0]?.idempotency_key).toEqual(expect.any(String));
  });

  it("tells each event as it is told by itself, and by its payment", async () => {
    const { api } = await newMerchant();
    const { id } = await paymentIn("refunded", api);
    const { events } = await follow(api);
    expect(events).toHaveLength(3);
    for (const event of events) {
      expect((await api.request("GET", `${EVENTS}/${event.id}`)).body).toEqual(event);
    }
    expect((await api.request("GET", `/api/v1/payments/${id}/events`)).body).toEqual({ data: events });
  });

  it("begins with nothing, and leads on from there", async () => {
    const { api } = await newMerchant();
    const first = await page(api);
    expect(first).toMatchObject({ data: [], has_more: false });
    const { id } = await paymentIn("pending", api);
    const { events, cursor } = await follow(api, {}, first.next_cursor);
    expect(idsOf(events)).toEqual([`evt_${id}_1`]);
    expect(await page(api, { cursor })).toEqual({ data: [], has_more: false, next_cursor: cursor });
  });

  it.each([1, 2, 3, 100])("comes in pages of %i, without a gap or a repetition", async (limit) => {
    const { api } = await newMerchant();
    for (const status of ["refunded", "failed", "confirmed"] as const) await paymentIn(status, api);
    const whole = await follow(api, { limit: 100 });
    expect(whole.events).toHaveLength(7);
    const pages = await follow(api, { limit });
    expect(pages).toEqual(whole);
  });

  it("misses nothing while many write at once", async () => {
    const { api } = await newMerchant();
    const actions: readonly Action[] = ["confirm", "fail", "refund"];
    let writing = true;
    const writers = Promise.all(
      Array.from({ length: 12 }, async (_, n) => {
        const { body } = await api.create({ ...ORDER, order_id: n + 1 });
        await Promise.all(actions.map((action) => api.run(body.id, action)));
      }),
    ).finally(() => {
      writing = false;
    });
    const seen: Event[] = [];
    let cursor: string | undefined;
    while (writing) {
      const read = await follow(api, { limit: 3 }, cursor);
      seen.push(...read.events);
      cursor = read.cursor;
    }
    await writers;
    seen.push(...(await follow(api, { limit: 3 }, cursor)).events);
    const { events: all } = await follow(api, { limit: 100 });
    expect(idsOf(seen)).toEqual(idsOf(all));
    expect(new Set(idsOf(all)).size).toBe(all.length);
    expect(all.filter(({ type }) => type === "payment.created")).toHaveLength(12);
    const times = all.map(({ timestamp }) => timestamp);
    expect(times).toEqual([...times].sort());
  });

  it("has the types that are asked for, and leads on past those that are not", async () => {
    const { api } = await newMerchant();
    for (let n = 0; n < 25; n++) await paymentIn("pending", api);
    const { id } = await paymentIn("refunded", api);
    for (const query of [{ type: "payment.refunded" }, { type: "payment.refunded,payment.failed" }]) {
      const { events } = await follow(api, { ...query, limit: 1 });
      expect(idsOf(events)).toEqual([`evt_${id}_3`]);
    }
    const first = await page(api, { type: "payment.refunded", limit: 1 });
    expect(first).toMatchObject({ data: [], has_more: true });
    const { events } = await follow(api, { type: "payment.created", limit: 7 });
    expect(events).toHaveLength(26);
  });

  it("has the events of one payment, also of some types", async () => {
    const { api } = await newMerchant();
    const [one, other] = [await paymentIn("confirmed", api), await paymentIn("failed", api)];
    await api.run(one.id, "refund");
    const ids = (query: Record<string, string | number>) => follow(api, query).then(({ events }) => idsOf(events));
    expect(await ids({ payment_id: one.id, limit: 1 })).toEqual([1, 2, 3].map((n) => `evt_${one.id}_${n}`));
    expect(await ids({ payment_id: other.id })).toEqual([1, 2].map((n) => `evt_${other.id}_${n}`));
    expect(await ids({ payment_id: one.id, type: "payment.refunded" })).toEqual([`evt_${one.id}_3`]);
    expect(await ids({ payment_id: 9_999_999 })).toEqual([]);
  });

  it("is of a range of time, page by page, with and without other filters", async () => {
    const { id, api } = await newMerchant();
    const noon = Date.UTC(2026, 0, 16, 12);
    const types = ["payment.created", "payment.confirmed", "payment.refunded"] as const;
    const statuses = ["pending", "confirmed", "refunded"];
    const amounts = [{}, { captured_minor: 100 }, { refunded_minor: 100 }];
    // Payment by payment: three at each of eight seconds, each with all of its events there.
    const kept = Array.from({ length: 72 }, (_, n) => ({
      position: n + 1,
      payment: id * 1_000 + Math.floor(n / 3),
      at: noon + Math.floor(n / 9) * 1_000,
      type: types[n % 3],
      data: { status: statuses[n % 3], ...amounts[n % 3] },
    }));
    await env.DB.batch([
      env.DB.prepare(
        `INSERT INTO payments (id, merchant_id, order_id, amount_minor, captured_minor, refunded_minor, currency, status, provider, version, created_at, updated_at, event_positions)
         SELECT value ->> 'payment', ?1, 1, 100, 100, 100, 'USD', 'refunded', 'internal', 3, min(value ->> 'at'), max(value ->> 'at'),
           json_group_array(value ->> 'position') FROM json_each(?2) GROUP BY 1`,
      ).bind(id, JSON.stringify(kept)),
      env.DB.prepare(
        `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
         SELECT ?1, value ->> 'position', value ->> 'payment', 1 + key % 3, value ->> 'type',
           json_patch(iif(key % 3, '{}', '{"order_id":1,"amount_minor":100,"currency":"USD","provider":"internal"}'),
             value -> 'data'), 'seed', value ->> 'at'
         FROM json_each(?2)`,
      ).bind(id, JSON.stringify(kept)),
    ]);
    const ranges: [from: number | undefined, to: number | undefined][] = [
      [noon, undefined],
      [noon + 1, undefined],
      [undefined, noon],
      [undefined, noon + 6_999],
      [noon, noon + 2_000],
      [noon + 1, noon + 7_001],
      [noon + 2_000, noon + 2_000],
      [noon + 7_001, undefined],
      [noon + 2_000, noon],
    ];
    const filters: Record<string, string | number>[] = [
      {},
      { type: "payment.refunded" },
      { payment_id: id * 1_000 + 7 },
    ];
    let answered = 0;
    for (const [from, to] of ranges) {
      for (const filter of filters) {
        const wanted = kept.filter(
          ({ at, type, payment }) =>
            (from === undefined || at >= from) &&
            (to === undefined || at <= to) &&
            (filter.type === undefined || type === filter.type) &&
            (filter.payment_id === undefined || payment === filter.payment_id),
        );
        const query = {
          ...filter,
          // A payment has three events, and a type's page looks at 40 for its four.
          limit: filter.type ? 4 : filter.payment_id ? 2 : 25,
          ...(from !== undefined && { created_from: new Date(from).toISOString() }),
          ...(to !== undefined && { created_to: new Date(to).toISOString() }),
        };
        const { events, cursor } = await follow(api, query);
        expect(idsOf(events), JSON.stringify(query)).toEqual(
          wanted.map(({ position, payment }) => `evt_${payment}_${1 + ((position - 1) % 3)}`),
        );
        // Where the range ends is where one goes on: there is nothing left, and nothing is repeated.
        expect(await page(api, { ...query, cursor })).toEqual({ data: [], has_more: false, next_cursor: cursor });
        // The same, from its end to its beginning.
        const back = await follow(api, { ...query, order: "newest_first" });
        expect(idsOf(back.events), JSON.stringify(query)).toEqual(idsOf(events).reverse());
        const beyond = await page(api, { ...query, order: "newest_first", cursor: back.cursor });
        expect(beyond).toEqual({ data: [], has_more: false, next_cursor: back.cursor });
        answered += Number(wanted.length > 0);
      }
    }
    // Of 27 questions; the last two ranges are empty, and the payment is not of the third.
    expect(answered).toBe(20);
  });

  it("goes back from the newest event, and is not disturbed by what happens meanwhile", async () => {
    const { api } = await newMerchant();
    expect(await page(api, { order: "newest_first" })).toMatchObject({ data: [], has_more: false });
    const one = await paymentIn("refunded", api);
    const first = await page(api, { order: "newest_first", limit: 1 });
    expect([idsOf(first.data), first.has_more]).toEqual([[`evt_${one.id}_3`], true]);
    await paymentIn("pending", api);
    const { events } = await follow(api, { order: "newest_first", limit: 1 }, first.next_cursor);
    expect(idsOf(events)).toEqual([`evt_${one.id}_2`, `evt_${one.id}_1`]);
    expect(
      idsOf((await follow(api, { order: "oldest_first" })).events)
        .reverse()
        .slice(1),
    ).toEqual([`evt_${one.id}_3`, ...idsOf(events)]);
  });

  it("goes on through a range of time that has not ended", async () => {
    const { api } = await newMerchant();
    const { id } = await paymentIn("pending", api);
    const query = { created_from: "2026-01-01", created_to: "2126-01-01" };
    const { events, cursor } = await follow(api, query);
    expect(idsOf(events)).toEqual([`evt_${id}_1`]);
    await api.run(id, "confirm");
    expect(idsOf((await follow(api, query, cursor)).events)).toEqual([`evt_${id}_2`]);
    const later = await follow(api, { created_from: "2126-01-01" });
    expect(later.events).toEqual([]);
  });

  it("is the merchant's own", async () => {
    const [mine, theirs] = [await newMerchant(), await newMerchant()];
    const { id } = await paymentIn("confirmed", theirs.api);
    expect(await page(mine.api)).toMatchObject({ data: [], has_more: false });
    expect((await page(mine.api, { payment_id: id })).data).toEqual([]);
    for (const event of [`evt_${id}_1`, "evt_9999999_1", "evt_9007199254740993_1", "evt_9999999999999999_1"]) {
      const { status, body } = await mine.api.request("GET", `${EVENTS}/${event}`);
      expect([status, body.detail]).toEqual([404, "Event not found"]);
    }
  });

  it("reads as many rows of much as of little, whatever is asked", async () => {
    const { id, key } = await newMerchant();
    const rows = async (query: string) => {
      const meter = meterD1(env.DB);
      const { status } = await client(envWithD1(meter.db), { key }).request("GET", `${EVENTS}?${query}`);
      expect(status).toBe(200);
      return [meter.trips, meter.rowsRead];
    };
    const seed = (from: number, count: number) =>
      env.DB.batch([
        env.DB.prepare(
          `INSERT INTO payments (id, merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at, event_positions)
           WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1 + ?2)
           SELECT 1000000 + i, ?3, i, 100, 'USD', 'pending', 'internal', 1, 1, 1, json_array(i) FROM n`,
        ).bind(from, count, id),
        env.DB.prepare(
          `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
           SELECT merchant_id, order_id, id, 1, 'payment.created', json_object('order_id', order_id, 'amount_minor',
           amount_minor, 'currency', currency, 'status', status, 'provider', provider), 'seed', 1
           FROM payments WHERE merchant_id = ?1 AND order_id >= ?2`,
        ).bind(id, from),
      ]);
    await seed(1, 1_000);
    const queries = [
      "limit=20",
      "limit=20&type=payment.refunded",
      "limit=20&payment_id=1000001",
      "type=payment.created",
      "limit=20&order=newest_first",
      "limit=20&order=newest_first&type=payment.refunded",
      "limit=20&order=newest_first&payment_id=1000001",
    ];
    // Found by halving: 2 × 13 rows at most for each end of a range of 6,000 events, in both statements.
    const ranges = [
      "limit=20&created_from=2026-01-01",
      "limit=20&created_to=2026-01-01",
      "limit=20&type=payment.refunded&created_from=1970-01-01&created_to=2026-01-01",
      "limit=20&order=newest_first&type=payment.refunded&created_from=1970-01-01&created_to=2026-01-01",
    ];
    await rows("limit=1"); // The key is looked up, and its use noted.
    const measure = () => Promise.all(queries.map(rows));
    const few = await measure();
    await seed(1_001, 5_000);
    expect(await measure()).toEqual(few);
    for (const query of ranges) {
      const [trips, read] = await rows(query);
      expect(trips).toBe(few[0]?.[0]);
      expect(read, query).toBeLessThanOrEqual(420 + 2 * 2 * 26);
    }
    for (const [, read] of few) expect(read).toBeLessThanOrEqual(420);
  });
});

describe("what is asked of the feed, page by page", () => {
  const TYPE = "payment.failed";
  const pending = (count: number): SeededPayment[] => Array.from({ length: count }, () => ({ created_at: 1 }));
  /** So many events, and then one that is asked for. */
  const failedAfter = (events: number): SeededPayment[] => [
    ...pending(events - 1),
    { created_at: 1, status: "failed" },
  ];

  async function pagesOf(api: Client, query: Record<string, string | number>, cursor?: string) {
    const pages: z.output<typeof FeedPage>[] = [];
    for (let next = cursor; ; next = pages.at(-1)?.next_cursor) {
      expect(pages.slice(0, -1).map(({ next_cursor }) => next_cursor)).not.toContain(next);
      pages.push(await page(api, { ...query, ...(next !== undefined && { cursor: next }) }));
      if (pages.at(-1)?.has_more === false) return pages;
    }
  }
  const sizes = (pages: readonly z.output<typeof FeedPage>[]) => pages.map(({ data }) => data.length);
  const eventsIn = (pages: readonly z.output<typeof FeedPage>[]) => idsOf(pages.flatMap(({ data }) => data));

  it.each([1, 2, 3])("with a limit of %i: nothing is skipped or repeated, now or later", async (limit) => {
    const { id, api } = await newMerchant();
    // Gaps that end just before, at and just after the end of one scan and of two, which are 10 for each of the limit.
    const around = (scanned: number) => [-1, 0, 1].map((more) => scanned + more);
    const gaps = [1, 1, 1, 4, ...around(10 * limit), 1, 8, ...around(20 * limit), 2];
    const stored = await seedPayments(id, [...gaps.flatMap(failedAfter), ...pending(10 * limit)]);
    const wanted = stored.filter(({ status }) => status === "failed").map((payment) => `evt_${payment.id}_2`);
    expect(wanted).toHaveLength(gaps.length);
    const query = { type: TYPE, limit };
    const pages = await pagesOf(api, query);
    expect(eventsIn(pages)).toEqual(wanted);
    expect(Math.max(...sizes(pages))).toBe(limit);
    // Some are empty in the middle, and lead on.
    expect(sizes(pages).indexOf(0)).toBeLessThan(sizes(pages).findLastIndex((size) => size > 0));
    // Each but the last is full, or has come ten events further for each that it may have.
    const events = stored.length + wanted.length;
    expect(pages.length).toBeLessThanOrEqual(events / (10 * limit) + wanted.length / limit + 1);
    // From each page on, and from the end, with what comes later.
    const later = await seedPayments(id, [...failedAfter(10 * limit), ...failedAfter(1), ...pending(1)]);
    const news = later.filter(({ status }) => status === "failed").map((payment) => `evt_${payment.id}_2`);
    for (const n of [0, 3, pages.length - 2, pages.length - 1]) {
      const rest = await pagesOf(api, query, pages[n]?.next_cursor);
      expect(eventsIn(rest), `after page ${n}`).toEqual([...eventsIn(pages.slice(n + 1)), ...news]);
    }
  });

  it.each([1, 3])("looks at ten events for each of %i, and no further", async (limit) => {
    const query = { type: TYPE, limit };
    const [near, far] = [await newMerchant(), await newMerchant()];
    await seedPayments(near.id, failedAfter(10 * limit - 1));
    expect(await page(near.api, query)).toMatchObject({ data: [{ type: TYPE }], has_more: false });
    await seedPayments(far.id, failedAfter(10 * limit));
    const empty = await page(far.api, query);
    expect(empty).toMatchObject({ data: [], has_more: true });
    const next = await page(far.api, { ...query, cursor: empty.next_cursor });
    expect(next).toMatchObject({ data: [{ type: TYPE }], has_more: false });
  });

  it("has no page left over when the events fill the last one", async () => {
    const { id, api } = await newMerchant();
    await seedPayments(id, pending(4));
    expect(sizes(await pagesOf(api, { limit: 2 }))).toEqual([2, 2]);
    expect(sizes(await pagesOf(api, { limit: 2, type: "payment.created" }))).toEqual([2, 2]);
  });
});

describe("bad input", () => {
  it.each([
    ["cursor=x", "cursor"],
    ["cursor=", "cursor"],
    [`cursor=${btoa('["after",-1]').replaceAll("=", "")}`, "cursor"],
    // Of a list that is newest first.
    [`cursor=${btoa('["older",1,1]').replaceAll("=", "")}`, "cursor"],
    // Further than the feed has ever been.
    [`cursor=${btoa('["after",999999]').replaceAll("=", "")}`, "cursor"],
    // Of the other order.
    [`cursor=${btoa('["before",1]').replaceAll("=", "")}`, "cursor"],
    [`order=newest_first&cursor=${btoa('["after",0]').replaceAll("=", "")}`, "cursor"],
    [`order=newest_first&cursor=${btoa('["before",999999]').replaceAll("=", "")}`, "cursor"],
    ["order=newest", "order"],
    ["order=", "order"],
    ["order=newest_first&order=newest_first", "order"],
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["type=payment.paid", "type"],
    ["type=", "type"],
    ["payment_id=0", "payment_id"],
    ["payment_id=x", "payment_id"],
    ["created_from=yesterday", "created_from"],
    ["created_to=2026-02-30", "created_to"],
    ["colour=red", "colour"],
  ])("%s is a 422 that names the parameter", async (query, parameter) => {
    const { api } = await newMerchant();
    const { status, body } = await api.request("GET", `${EVENTS}?${query}`);
    expect([status, body.errors?.map((error) => error.parameter)]).toEqual([422, [parameter]]);
  });

  it.each(["evt_1", "evt_0_1", "evt_1_0", "evt_01_1", "EVT_1_1", "evt_1_1_1", "evt_x_1", "evt_10000000000000000_1"])(
    "the event %s is a 422 that names the parameter",
    async (id) => {
      const { status, body } = await client().request("GET", `${EVENTS}/${id}`);
      expect([status, body.errors?.[0]?.parameter]).toEqual([422, "event_id"]);
    },
  );

  it("needs the scope", async () => {
    const api = client(undefined, { key: await newKey(["payments:read"]) });
    for (const path of [EVENTS, `${EVENTS}/evt_1_1`]) expect((await api.request("GET", path)).status).toBe(403);
  });
});
