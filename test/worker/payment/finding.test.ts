import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { app } from "../../../src/app";
import { STATUSES, type Status } from "../../../src/payment/lifecycle";
import { bringInto, type Client, client, ORDER } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import {
  idsOf,
  list,
  newMerchant,
  PAYMENTS,
  pathOf,
  type Query,
  readPage,
  type Shown,
  walk,
  walkBack,
} from "../payment-list";

afterEach(() => vi.useRealTimers());

/** Payments of one merchant, oldest first, as the API showed them in the end. */
async function seed(api: Client, bodies: readonly object[], status: Status = "pending"): Promise<Shown[]> {
  const made: Shown[] = [];
  for (const body of bodies) {
    let { body: payment } = await api.create({ ...ORDER, ...body });
    payment = await bringInto(status, payment, api);
    made.push(payment);
  }
  return made;
}

const many = (count: number) => Array.from({ length: count }, (_, n) => ({ order_id: n + 1 }));
const newestFirst = (payments: readonly { id: number }[]) => payments.map(({ id }) => id).sort((a, b) => b - a);

describe("the list", () => {
  it("is empty for a merchant without payments, and leads to those that are yet to come", async () => {
    const { api } = await newMerchant();
    const empty = await list(api);
    expect(empty).toMatchObject({ data: [], has_more: false, next_cursor: null });
    // Asked again, it is the same: nothing is older than the beginning.
    expect(await list(api, { cursor: empty.previous_cursor ?? "" })).toEqual(empty);
    const made = await seed(api, many(1));
    expect((await list(api, { cursor: empty.previous_cursor ?? "" })).data).toEqual(made);
  });

  it("has payments as they are now, newest first, 20 unless told otherwise", async () => {
    const { api } = await newMerchant();
    const made = await seed(api, many(22), "confirmed");
    const first = await list(api);
    expect(first.data).toEqual(made.slice(2).reverse());
    expect(first.has_more).toBe(true);
    const second = await list(api, { cursor: first.next_cursor ?? "" });
    expect(second.data).toEqual(made.slice(0, 2).reverse());
    expect([second.has_more, second.next_cursor]).toEqual([false, null]);
  });

  it.each([1, 2, 3, 7, 100])("gives every payment once, forward and back, with a limit of %i", async (limit) => {
    const { api } = await newMerchant();
    const ids = newestFirst(await seed(api, many(7)));
    const forward = await walk(api, { limit });
    expect(idsOf(forward)).toEqual(ids);
    expect(forward.every(({ data }) => data.length <= limit)).toBe(true);
    // From the oldest page on: its cursor leads to what is newer than all of it.
    const oldest = forward.at(-1);
    const back = await walkBack(api, { limit }, oldest?.previous_cursor ?? "");
    expect([...idsOf(back.reverse()), ...(oldest?.data ?? []).map(({ id }) => id)]).toEqual(ids);
  });

  it("has no page left over when its payments fill the last one", async () => {
    const { api } = await newMerchant();
    await seed(api, many(4));
    const pages = await walk(api, { limit: 2 });
    expect(pages.map(({ data }) => data.length)).toEqual([2, 2]);
  });

  it("skips and repeats nothing while payments are created and changed during the walk", async () => {
    const { api } = await newMerchant();
    const before = await seed(api, many(9));
    let created = 0;
    const pages = await walk(api, { limit: 2 }, async ({ data }) => {
      await seed(api, many(3));
      created += 3;
      for (const { id } of data) await api.run(id, "confirm");
    });
    expect(idsOf(pages)).toEqual(newestFirst(before));
    const back = await walkBack(api, { limit: 2 }, pages[0]?.previous_cursor ?? "");
    expect(idsOf(back)).toHaveLength(created);
    expect(idsOf(await walk(api, {}))).toEqual([...idsOf(back.toReversed()), ...idsOf(pages)]);
  });

  it("shows a poller that keeps previous_cursor every new payment exactly once", async () => {
    const { api } = await newMerchant();
    let cursor = (await list(api)).previous_cursor ?? "";
    const [made, seen]: [number[], number[]] = [[], []];
    for (const burst of [5, 0, 2, 1, 0, 0, 3]) {
      made.push(...(await seed(api, many(burst))).map(({ id }) => id));
      // More than a page may have come.
      const pages = await walkBack(api, { limit: 2 }, cursor);
      seen.push(...idsOf(pages.reverse()).reverse());
      cursor = pages.at(0)?.previous_cursor ?? cursor;
    }
    expect(seen).toEqual(made);
  });

  it("shows such a poller what a filter lets through, also when it has let nothing through before", async () => {
    const { api } = await newMerchant();
    const query = { currency: "EUR", limit: 1 };
    // More than are looked at for one page, which are 10: 1,000 at most for a page of 100, some milliseconds of D1.
    await seed(api, many(12));
    const start = await list(api, query);
    expect(start).toMatchObject({ data: [], has_more: true });
    const made = await seed(api, [{ currency: "EUR" }, ...many(10), { currency: "EUR" }]);
    const pages = await walkBack(api, query, start.previous_cursor ?? "");
    expect(idsOf(pages)).toEqual([made.at(0)?.id, made.at(-1)?.id]);
  });

  it("leads back from a page without new payments to those that are there", async () => {
    const { api } = await newMerchant();
    const ids = newestFirst(await seed(api, many(3)));
    const { previous_cursor } = await list(api);
    const nothingNew = await list(api, { cursor: previous_cursor ?? "" });
    expect(nothingNew).toMatchObject({ data: [], has_more: true, previous_cursor });
    expect(idsOf([await list(api, { cursor: nothingNew.next_cursor ?? "" })])).toEqual(ids);
  });

  it("leads back from a page whose payments have left the filter meanwhile", async () => {
    const { api } = await newMerchant();
    const [oldest, , newest] = await seed(api, many(3));
    const page = await list(api, { status: "pending", limit: 2 });
    await api.run(oldest?.id ?? 0, "confirm");
    const empty = await list(api, { status: "pending", limit: 2, cursor: page.next_cursor ?? "" });
    expect(empty).toMatchObject({ data: [], has_more: false, next_cursor: null });
    const back = await walkBack(api, { status: "pending", limit: 2 }, empty.previous_cursor ?? "");
    expect(idsOf(back)).toEqual(newestFirst([{ id: (newest?.id ?? 0) - 1 }, { id: newest?.id ?? 0 }]));
  });

  it("keeps payments of one millisecond apart, and a clock that goes back in order", async () => {
    const { api } = await newMerchant();
    const noon = Date.now() - 3_600_000;
    vi.useFakeTimers({ toFake: ["Date"] });
    const made: Shown[] = [];
    for (const offset of [0, 0, 0, 0, 1, 1, -60_000, -60_000, 2]) {
      vi.setSystemTime(noon + offset);
      made.push(...(await seed(api, [{}])));
    }
    vi.useRealTimers();
    const times = made.map(({ created_at }) => Date.parse(created_at) - noon);
    expect(times).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2]);
    for (const limit of [1, 2, 3]) {
      const pages = await walk(api, { limit });
      expect(idsOf(pages)).toEqual(newestFirst(made));
      const back = await walkBack(api, { limit }, pages.at(-1)?.previous_cursor ?? "");
      expect(idsOf([...back.reverse(), ...pages.slice(-1)])).toEqual(newestFirst(made));
    }
    const at = made[6]?.created_at ?? "";
    expect(idsOf([await list(api, { created_from: at, created_to: at })])).toEqual(newestFirst(made.slice(4, 8)));
  });

  it("has nothing of another merchant, whatever is asked", async () => {
    const [one, other] = await Promise.all([newMerchant(), newMerchant()]);
    const body = { order_id: 7, metadata: { cart: "c-7" } };
    const [own] = await seed(one.api, [body]);
    await seed(other.api, [body, body]);
    const { next_cursor } = await list(other.api, { limit: 1 });
    const queries: Query[] = [
      {},
      { order_id: 7 },
      { metadata: "cart=c-7" },
      { status: "pending" },
      { currency: "USD", amount_min: "1" },
      { created_from: "2020-01-01T00:00:00Z" },
    ];
    for (const query of queries) expect(idsOf([await list(one.api, query)])).toEqual([own?.id]);
    // Another's cursor is a place in time, and no more.
    const elsewhere = await list(one.api, { cursor: next_cursor ?? "" });
    expect(elsewhere.data.every(({ id }) => id === own?.id)).toBe(true);
  });
});

describe("the filter", () => {
  it("status takes several, repeated or with commas", async () => {
    const { api } = await newMerchant();
    const ids: Record<string, number> = {};
    for (const status of STATUSES) ids[status] = (await seed(api, [{}], status))[0]?.id ?? 0;
    const found = async (status: string | readonly string[]) => idsOf([await list(api, { status })]);
    for (const status of STATUSES) expect(await found(status)).toEqual([ids[status]]);
    expect(await found("pending,failed")).toEqual([ids.failed, ids.pending]);
    expect(await found(["pending", "failed"])).toEqual([ids.failed, ids.pending]);
    expect(await found(["refunded", "pending,failed"])).toEqual([ids.refunded, ids.failed, ids.pending]);
    expect(await found("pending,pending")).toEqual([ids.pending]);
    expect(await found(STATUSES)).toEqual(newestFirst(Object.values(ids).map((id) => ({ id }))));
  });

  it("order_id finds an order's payments", async () => {
    const { api } = await newMerchant();
    const made = await seed(api, [{ order_id: 1 }, { order_id: 2 }, { order_id: 1 }, { order_id: 2 ** 53 - 1 }]);
    expect(idsOf(await walk(api, { order_id: 1, limit: 1 }))).toEqual([made[2]?.id, made[0]?.id]);
    expect(idsOf([await list(api, { order_id: 2 ** 53 - 1 })])).toEqual([made[3]?.id]);
    expect((await list(api, { order_id: 3 })).data).toEqual([]);
  });

  it("provider_reference finds what the provider calls so, among the newest", async () => {
    const { api } = await newMerchant();
    const made = await seed(api, [{ provider: "sandbox" }, { provider: "sandbox" }, {}]);
    const body = { payment_method: "test_ok" };
    const paid = await api.request("POST", `${PAYMENTS}/${made[0]?.id}/confirm`, { body });
    const { provider_reference: name } = paid.body;
    expect(name).toMatch(/^spay_/);
    expect(idsOf([await list(api, { provider_reference: name ?? "" })])).toEqual([made[0]?.id]);
    expect((await list(api, { provider_reference: "spay_" })).data).toEqual([]);
    // None of 10 payments for each that the limit allows: it leads on.
    await seed(api, many(10));
    const first = await list(api, { provider_reference: name ?? "", limit: 1 });
    expect([first.data, first.has_more]).toEqual([[], true]);
    expect(idsOf(await walk(api, { provider_reference: name ?? "", limit: 1 }))).toEqual([made[0]?.id]);
    const refused = await api.request("GET", pathOf({ provider_reference: "" }));
    expect([refused.status, refused.body.errors?.[0]?.parameter]).toEqual([422, "provider_reference"]);
  });

  it("reference finds what has it, letter by letter", async () => {
    const { api } = await newMerchant();
    const references = [
      "ORD-1",
      "ORD-2",
      "ORD-1",
      "ord-1",
      "ORD-1 ",
      "ORD-10",
      "'; --",
      "日本 🧀",
      "%",
      "x".repeat(255),
    ];
    const made = await seed(
      api,
      references.map((reference, n) => ({ reference, order_id: n % 3 === 0 ? 7 : n + 1 })),
    );
    const idAt = (...places: number[]) => places.map((n) => made[n]?.id);
    expect(idsOf(await walk(api, { reference: "ORD-1", limit: 1 }))).toEqual(idAt(2, 0));
    for (const n of [1, 3, 4, 5, 6, 7, 8, 9]) {
      expect(idsOf([await list(api, { reference: references[n] })]), references[n]).toEqual(idAt(n));
    }
    expect((await list(api, { reference: "ORD" })).data).toEqual([]);
    // With an order, whose index is read, and with every other filter.
    expect(idsOf([await list(api, { reference: "ORD-1", order_id: 7 })])).toEqual(idAt(0));
    expect(idsOf([await list(api, { reference: "ORD-1", status: "pending", currency: "USD" })])).toEqual(idAt(2, 0));
    expect((await list(api, { reference: "ORD-1", status: "failed" })).data).toEqual([]);
    const { created_at } = made[2] ?? {};
    expect(idsOf(await walk(api, { reference: "ORD-1", created_to: created_at, limit: 1 }))).toEqual(idAt(2, 0));
    const back = await walkBack(api, { reference: "ORD-1", limit: 1 }, (await list(api)).previous_cursor ?? "");
    expect(back).toEqual([]);
    const other = await newMerchant();
    expect((await list(other.api, { reference: "ORD-1" })).data).toEqual([]);
  });

  it("currency takes lower case for upper case", async () => {
    const { api } = await newMerchant();
    const made = await seed(api, [{ currency: "EUR" }, { currency: "USD" }]);
    expect(idsOf([await list(api, { currency: "eur" })])).toEqual([made[0]?.id]);
  });

  it("created_from and created_to are included, in any offset and to the millisecond", async () => {
    const { api } = await newMerchant();
    const start = Date.now() - 3_600_000;
    vi.useFakeTimers({ toFake: ["Date"] });
    const made: Shown[] = [];
    for (const offset of [0, 1, 2]) {
      vi.setSystemTime(start + offset);
      made.push(...(await seed(api, [{}])));
    }
    vi.useRealTimers();
    const at = (offset: number) => new Date(start + offset).toISOString();
    const found = async (query: Query) => idsOf([await list(api, query)]).map((id) => id - (made[0]?.id ?? 0));
    expect(await found({ created_from: at(1) })).toEqual([2, 1]);
    expect(await found({ created_to: at(1) })).toEqual([1, 0]);
    expect(await found({ created_from: at(1), created_to: at(1) })).toEqual([1]);
    expect(await found({ created_from: at(2), created_to: at(1) })).toEqual([]);
    // Half a millisecond later than the payment: from there it is over, up to there it is not.
    expect(await found({ created_from: at(1).replace("Z", "5Z") })).toEqual([2]);
    expect(await found({ created_to: at(1).replace("Z", "5Z") })).toEqual([1, 0]);
    const offset = new Date(start + 1 + 5.5 * 3_600_000).toISOString().replace("Z", "+05:30");
    expect(await found({ created_from: offset })).toEqual([2, 1]);
  });

  it.each([
    ["USD", ["0.01", "1", "1.01", "999999999999.99"], { amount_min: "1.00", amount_max: "1.01" }, [2, 1]],
    ["USD", ["0.01", "1", "1.01", "999999999999.99"], { amount_min: "1.01" }, [3, 2]],
    ["USD", ["0.01", "1", "1.01", "999999999999.99"], { amount_max: "1e0" }, [1, 0]],
    ["JPY", ["1", "100", "101"], { amount_min: "100", amount_max: "100.0" }, [1]],
    ["KWD", ["0.001", "0.01", "0.011"], { amount_min: "0.002", amount_max: "0.01" }, [1]],
    ["KWD", ["0.001", "0.01", "0.011"], { amount_min: "2", amount_max: "1" }, []],
    ["JPY", ["1", "2"], { amount_min: "0", amount_max: "1" }, [0]],
    ["USD", ["0.01", "1"], { amount_max: "0.00" }, []],
  ])("amount counts in the minor units of %s: %j %j", async (currency, amounts, bounds, expected) => {
    const { api } = await newMerchant();
    await seed(api, [{ amount: "1.00", currency: "EUR" }]);
    const made = await seed(
      api,
      amounts.map((amount) => ({ amount, currency })),
    );
    const found = idsOf([await list(api, { currency, ...bounds })]);
    expect(found.map((id) => id - (made[0]?.id ?? 0))).toEqual(expected);
  });

  it("metadata asks for all of its pairs, whatever is in them", async () => {
    const { api } = await newMerchant();
    const pairs: [string, string][] = [
      ["plain", "value"],
      ["equals", "a=b=c"],
      ["empty", ""],
      ["käse 🧀", "日本語 𝒳"],
      ['quote"back\\slash/', 'quote"back\\slash'],
      ["control\n\t\u0001", "line\r\nbreak"],
      ["7", "numeric"],
      ["__proto__", "own"],
      ["percent%20+&#", "%3D +&#"],
      ["'; DROP TABLE payments; --", "' OR 1=1 --"],
    ];
    const single = await seed(
      api,
      pairs.map((pair) => ({ metadata: Object.fromEntries([pair]) })),
    );
    const [all] = await seed(api, [{ metadata: Object.fromEntries(pairs) }]);
    for (const [n, [name, value]] of pairs.entries()) {
      expect(idsOf([await list(api, { metadata: `${name}=${value}` })]), name).toEqual([all?.id, single[n]?.id]);
      expect(idsOf([await list(api, { metadata: `${name}=${value}x` })]), name).toEqual([]);
    }
    const three = pairs.slice(0, 3).map(([name, value]) => `${name}=${value}`);
    expect(idsOf([await list(api, { metadata: three })])).toEqual([all?.id]);
    expect(idsOf([await list(api, { metadata: [...three, "plain=other"] })])).toEqual([]);
    expect(idsOf([await list(api, { metadata: ["plain=value", "plain=value"] })])).toEqual([all?.id, single[0]?.id]);
    expect(idsOf([await list(api, { metadata: "PLAIN=value" })])).toEqual([]);
  });

  it("order_id with metadata gives whole pages", async () => {
    const { api } = await newMerchant();
    const bodies = Array.from({ length: 24 }, (_, n) => ({ order_id: (n % 12) + 1, metadata: { shop: "s" } }));
    const made = await seed(api, bodies);
    const page = await list(api, { order_id: 1, metadata: "shop=s", limit: 1 });
    expect(idsOf([page])).toEqual([made[12]?.id]);
    expect(idsOf(await walk(api, { order_id: 1, metadata: "shop=s", limit: 2 }))).toEqual([made[12]?.id, made[0]?.id]);
    expect((await list(api, { order_id: 1, metadata: "shop=other" })).data).toEqual([]);
  });
});

describe("among very many payments", () => {
  // As many as a test may take the time for: npm run bench has the figures for more.
  const COUNT = 200_000;
  const START = Date.UTC(2026, 0, 1);
  /** A machine whose clock went wrong: so many payments in a row are of one millisecond. */
  const [FROZEN, FROZEN_END] = [99_999, 110_000];
  const time = (n: number) => START + Math.trunc((n >= FROZEN && n <= FROZEN_END ? FROZEN : n) / 3);
  const at = (n: number) => new Date(time(n)).toISOString();
  const run = (sql: string) => env.DB.prepare(sql).run();
  /** In both directions from a place far in, and from one in the frozen time. */
  const cursors: string[] = [];

  // The default merchant's, whom this file asks for nothing else.
  beforeAll(async () => {
    await run(`
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${COUNT}),
      timed (i, time) AS (
        SELECT i, ${START} + iif(i BETWEEN ${FROZEN} AND ${FROZEN_END}, ${FROZEN}, i) / 3 FROM n)
      INSERT INTO payments (merchant_id, order_id, reference, amount_minor, currency, status, provider, version, created_at,
        updated_at, metadata)
      SELECT 1, i % 50000 + 1, iif(i % 2, NULL, 'ORD-' || (i % 50000)), i % 1000 + 1, iif(i % 1000 = 0, 'JPY', 'USD'), iif(i % 5000 = 0, 'failed', 'pending'),
        'internal', 1, time, time, json_object('batch', 'b' || (i % 20), 'row', 'r' || i, 'shop', 's') FROM timed`);
    await run(`
      INSERT INTO payment_metadata
      SELECT merchant_id, pair.key, substr(pair.value, 1, 64), created_at, payments.id FROM payments, json_each(metadata) AS pair
      WHERE merchant_id = 1`);
    const middle = await list(client(env), { created_to: at(COUNT / 4), limit: 1 });
    const frozen = await list(client(env), { created_from: at(FROZEN), created_to: at(FROZEN), limit: 100 });
    for (const { next_cursor, previous_cursor } of [middle, frozen]) {
      cursors.push(next_cursor ?? "", previous_cursor ?? "");
    }
  }, 120_000);

  afterAll(async () => {
    await run("DELETE FROM payment_metadata WHERE merchant_id = 1");
    await run("DELETE FROM payments WHERE merchant_id = 1");
  }, 120_000);

  /** Asks from the newest on, and from each cursor. */
  async function rowsRead(query: Query): Promise<number[]> {
    const read: number[] = [];
    for (const cursor of [undefined, ...cursors]) {
      const meter = meterD1(env.DB);
      await list(client(envWithD1(meter.db)), { ...query, cursor });
      expect(meter.trips).toBe(1);
      read.push(meter.rowsRead);
    }
    return read;
  }

  it.each<Query>([
    {},
    { order_id: 77 },
    { order_id: 49_999, created_to: at(COUNT - 1) },
    { reference: "ORD-76" },
    { reference: "ORD-76", created_from: at(10), created_to: at(COUNT - 1) },
    { reference: "ORD-77" },
    { metadata: "batch=b7" },
    { metadata: "row=r777" },
    { metadata: "shop=s", created_from: at(10), created_to: at(COUNT - 10) },
    { metadata: "no=pair" },
    { created_from: at(10), created_to: at(COUNT - 10) },
    { created_from: at(COUNT - 10) },
    { created_to: at(10) },
    { created_from: at(FROZEN), created_to: at(FROZEN) },
    { created_from: at(COUNT), created_to: at(1) },
  ])("%j reads each row of the page, and its place in the index", async (query) => {
    for (const limit of [1, 20]) {
      // One more tells whether there are more, and one is read where a range begins at the cursor.
      for (const rows of await rowsRead({ ...query, limit })) expect(rows).toBeLessThanOrEqual(2 * (limit + 1) + 1);
    }
  });

  it.each<Query>([
    { status: "failed" },
    { status: "refunded" },
    { status: ["pending", "failed"] },
    { currency: "JPY" },
    { currency: "EUR" },
    { currency: "USD", amount_min: "0.01", amount_max: "0.02" },
    { currency: "USD", amount_min: "999" },
    { metadata: "batch=b0", status: "failed" },
    { order_id: 77, status: "failed" },
    { order_id: 77, metadata: "batch=b16" },
    { order_id: 77, reference: "ORD-76" },
    { reference: "ORD-76", status: "failed" },
    { reference: "ORD-76", metadata: "batch=b16" },
    { metadata: ["shop=s", "row=r5000"] },
    { metadata: ["batch=b7", "shop=s"], status: "failed" },
    { metadata: ["shop=s", "shop=s", "shop=s", "no=pair"], created_from: at(10), created_to: at(COUNT - 10) },
    {
      ...{ status: "failed", currency: "JPY", amount_min: "1", amount_max: "999", order_id: 1 },
      ...{ created_from: at(10), created_to: at(COUNT - 10), metadata: ["batch=b0", "row=r50000"] },
    },
    { metadata: ["shop=s", "batch=b0", "row=r5000", "no=pair", "nor=this"] },
    { metadata: `shop=${"s".repeat(65)}` },
  ])("%j reads no more than is looked at", async (query) => {
    for (const limit of [1, 20, 100]) {
      // Each is read in the index, once more to find where the scan ends, and itself, with all of its pairs.
      for (const rows of await rowsRead({ ...query, limit })) expect(rows).toBeLessThanOrEqual(3 * 10 * limit + 4);
    }
  });

  it("finds all that match, however few they are", async () => {
    const pages = await walk(client(env), { metadata: "batch=b0", status: "failed", limit: 100 });
    expect(idsOf(pages)).toHaveLength(COUNT / 5_000);
    const orders = await walk(client(env), { order_id: 77, limit: 1 });
    expect(idsOf(orders)).toHaveLength(COUNT / 50_000);
    const frozen = await walk(client(env), { created_from: at(FROZEN), created_to: at(FROZEN), limit: 100 });
    expect(new Set(idsOf(frozen)).size).toBe(FROZEN_END - FROZEN + 1);
  });
});

describe("Link headers", () => {
  it("can be followed as they are, both ways, and keep the question", async () => {
    const { api } = await newMerchant();
    const made = await seed(
      api,
      Array.from({ length: 5 }, () => ({ metadata: { "a b": "c=d&é<>" } })),
    );
    const links = (header: string | null) =>
      Object.fromEntries(
        [...(header ?? "").matchAll(/<([^>]*)>; rel="(\w+)"/g)].map(([, target = "", relation = ""]) => [
          relation,
          target,
        ]),
      );
    const seen: number[][] = [];
    const read = async (path: string | undefined) => {
      const answer = await api.request("GET", path ?? "");
      seen.push(idsOf([readPage(answer)]));
      return links(answer.headers.get("Link"));
    };
    const first = await read(pathOf({ metadata: "a b=c=d&é<>", limit: 2, status: ["pending", "confirmed"] }));
    const second = await read(first.next);
    const third = await read(second.next);
    const [e, d, c, b, a] = newestFirst(made);
    expect(seen).toEqual([[e, d], [c, b], [a]]);
    expect(Object.keys(first).sort()).toEqual(["first", "next", "prev"]);
    expect(Object.keys(third).sort()).toEqual(["first", "prev"]);
    await read(third.prev);
    await read(second.first);
    await read(first.prev);
    expect(seen.slice(3)).toEqual([[c, b], [e, d], []]);
  });

  it("are as the cursors in the body", async () => {
    const { api } = await newMerchant();
    await seed(api, many(2));
    const answer = await api.request("GET", `${PAYMENTS}/?limit=1`);
    const { next_cursor, previous_cursor } = readPage(answer);
    expect(answer.headers.get("Link")).toBe(
      `<${PAYMENTS}/?limit=1>; rel="first", ` +
        `<${PAYMENTS}/?limit=1&cursor=${previous_cursor}>; rel="prev", ` +
        `<${PAYMENTS}/?limit=1&cursor=${next_cursor}>; rel="next"`,
    );
  });
});

describe("Link headers of long queries", () => {
  // 1,024 characters: clients have limits for headers, and `fetch` broke at some 8 KB.
  it("are left out, while the cursors in the body stay", async () => {
    const { api } = await newMerchant();
    for (const order_id of [1, 2, 3]) await api.create({ order_id, amount: 1, metadata: { name: "é".repeat(100) } });
    const metadata = `name=${"é".repeat(100)}`;
    const asked = await api.request("GET", pathOf({ limit: 1, metadata: [metadata, metadata] }));
    expect(asked.headers.get("Link")).toBeNull();
    const page = readPage(asked);
    expect([page.data.length, page.has_more]).toEqual([1, true]);
    const rest = await list(api, { limit: 2, metadata: [metadata, metadata], cursor: page.next_cursor ?? "" });
    expect([...page.data, ...rest.data].map(({ order_id }) => order_id)).toEqual([3, 2, 1]);
    expect((await api.request("GET", pathOf({ limit: 1 }))).headers.get("Link")).toContain('rel="next"');
  });
});

describe("a date alone", () => {
  it("is its midnight in UTC, where a range begins and where it ends", async () => {
    const { api } = await newMerchant();
    const { body } = await api.create({ order_id: 1, amount: 1 });
    const day = (offset: number) =>
      new Date(Date.parse(body.created_at) + offset * 86_400_000).toISOString().slice(0, 10);
    const found = async (query: Query) => (await list(api, query)).data.length;
    expect(await found({ created_from: day(0), created_to: day(1) })).toBe(1);
    expect(await found({ created_from: day(1) })).toBe(0);
    // The day of the creation begins before it.
    expect(await found({ created_to: day(0) })).toBe(0);
  });
});

describe("a wrong question", () => {
  const LIMIT = "Must be an integer from 1 to 100";
  const CURSOR_MESSAGE = "Must be a cursor from an earlier answer, as it was";
  const STATUS =
    "Must be one or several of pending, requires_action, processing, authorized, confirmed, failed, cancelled, expired, refunded";
  const INTEGER = "Must be an integer from 1 to 9007199254740991";
  const CURRENCY = "Must be the ISO 4217 code of a currency in use";
  const TIME =
    "Must be an RFC 3339 time with seconds up to 59, such as 2026-01-16T16:57:41Z, or a date, which is its midnight in UTC";
  const PAIR = "Must be name=value";
  const ONCE = "Must be given once";
  type Case = [parameter: string, value: string | string[], detail: string];
  const cursor = (value: unknown) => btoa(JSON.stringify(value)).replaceAll("=", "");

  const each = (parameter: string, detail: string, values: readonly (string | string[])[]): Case[] =>
    values.map((value) => [parameter, value, detail]);
  const WRONG_TIMES = [
    "",
    "now",
    "2026-01",
    "2026-02-30",
    "2026-1-6",
    "20260116",
    "1768582661",
    "2026-01-16T16:57:41",
    "2026-02-30T00:00:00Z",
  ];

  it.each<Case>([
    ...each("limit", LIMIT, ["", "0", "101", "-1", "1.5", "1e1", " 1", "01x", "ten", "NaN"]),
    ...each("order_id", INTEGER, ["", "0", "-1", "1.5", "1e3", "9007199254740992", "x"]),
    ...each("reference", "Must be 1 to 255 characters long", ["", "x".repeat(256)]),
    ...each("reference", "Must be Unicode text without NUL", ["a\0"]),
    ...each("status", STATUS, ["", "paid", "Pending", "pending,", ",", "pending,paid", ["pending", "paid"]]),
    ...each("currency", CURRENCY, ["", "US", "USDX", "XXX", "$$$"]),
    ...each("created_from", TIME, WRONG_TIMES),
    ...each("created_to", TIME, WRONG_TIMES),
    ...each("metadata", PAIR, ["", "x", "=", "=x", ["a=b", "c"]]),
    ...each("metadata", "At most 5 pairs", [["a=1", "b=1", "c=1", "d=1", "e=1", "f=1"]]),
    ...each("cursor", CURSOR_MESSAGE, [
      ...[
        "",
        "x",
        "!!!",
        ` ${cursor(["payments", "older", 1, 1])}`,
        btoa('["payments", "older", 1, 1]'),
        btoa('["payments","older",1e0,1]'),
      ],
      ...[cursor(["payments", "older", 1, 1]).slice(0, -1), cursor(["payments", "older", 1, 1]).slice(0, -2)],
      ...[
        ["payments", "older", 1, "key"],
        ["sideways", 1, 1],
        ["payments", "older", -1, 1],
        ["payments", "older", 1.5, 1],
      ].map(cursor),
      ...[
        ["payments", "older", 1, 1, 1],
        ["payments", "older", 1],
        ["payments", "older", 1, null],
        { older: 1 },
        null,
      ].map(cursor),
    ]),
    ...["limit", "cursor", "order_id", "reference", "currency", "created_from", "created_to"].flatMap((parameter) =>
      each(parameter, ONCE, [["1", "1"]]),
    ),
    ...["page", "Limit", "constructor"].flatMap((parameter) => each(parameter, "Unknown parameter", ["2"])),
  ])("%s=%j is refused by name", async (parameter, value, detail) => {
    const { status, body } = await client().request("GET", pathOf({ [parameter]: value }));
    expect([status, body.errors]).toEqual([422, [{ detail, parameter }]]);
  });

  it.each([
    ["amount_min", "abc", "Must be a decimal number"],
    ["amount_max", "-1", "Must be zero or more"],
    ["amount_min", "-0", "Must be zero or more"],
    ["amount_min", "-", "Must be a decimal number"],
    ["amount_min", "", "Must be a decimal number"],
    ["amount_max", "0.001", "Must have at most 2 decimal places in this currency"],
    ["amount_max", ["1", "2"], ONCE],
  ])("%s=%j is refused by name", async (parameter, value, detail) => {
    const { status, body } = await client().request("GET", pathOf({ currency: "USD", [parameter]: value }));
    expect([status, body.errors]).toEqual([422, [{ detail, parameter }]]);
  });

  it("of an amount without its currency names the currency", async () => {
    const { body } = await client().request("GET", pathOf({ amount_min: "1", amount_max: "2" }));
    expect(body.errors).toEqual([{ detail: "Required with amount_min and amount_max", parameter: "currency" }]);
    const { body: one } = await client().request("GET", pathOf({ amount_max: "2" }));
    expect(one.errors).toEqual([{ detail: "Required with amount_max", parameter: "currency" }]);
  });

  it("has every violation listed together", async () => {
    const query = { limit: "0", status: "x", amount_min: "abc", amount_max: ["1", "2"], created_to: "then", what: "1" };
    const { status, body } = await client().request("GET", pathOf(query));
    expect(status).toBe(422);
    expect(body.errors?.toSorted((a, b) => (String(a.parameter) < String(b.parameter) ? -1 : 1))).toEqual([
      { detail: ONCE, parameter: "amount_max" },
      { detail: "Must be a decimal number", parameter: "amount_min" },
      { detail: TIME, parameter: "created_to" },
      { detail: "Required with amount_min and amount_max", parameter: "currency" },
      { detail: LIMIT, parameter: "limit" },
      { detail: STATUS, parameter: "status" },
      { detail: "Unknown parameter", parameter: "what" },
    ]);
  });

  it("of an amount in a wrong currency does not hide a wrong amount", async () => {
    const { body } = await client().request("GET", pathOf({ currency: "XXX", amount_min: "-1", amount_max: "5.12" }));
    expect(body.errors).toEqual([
      { detail: CURRENCY, parameter: "currency" },
      { detail: "Must be zero or more", parameter: "amount_min" },
    ]);
  });

  it("costs D1 nothing", async () => {
    const request = new Request(`http://localhost${PAYMENTS}?limit=0`);
    const untouchable = new Proxy(env.DB, {
      get: () => {
        throw new Error("D1 was asked");
      },
    });
    const answer = await app.fetch(request, { ...env, DB: untouchable, AUTH_MODE: "open" }, createExecutionContext());
    expect(answer.status).toBe(422);
  });
});
