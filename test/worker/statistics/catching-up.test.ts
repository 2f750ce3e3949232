/** Counting the events of a feed: each once, whatever breaks off, gets lost or happens at the same time, and at a bounded cost. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import operations from "../../../docs/operations.md?raw";
import { catchUp } from "../../../src/statistics/catch-up";
import { dayOf } from "../../../src/statistics/figures";
import { readStatistics } from "../../../src/statistics/statistics";
import { Database } from "../../../src/storage/database";
import { client } from "../client";
import { instrumentD1, losesNth, type Meter, meterD1 } from "../d1";
import { newMerchant } from "../payment-list";
import { seedPayments } from "../payment-seed";
import { caughtUp, figuresIn, fill, make, run, STATISTICS, statisticsOf, stored } from "./shop";

const today = () => {
  const day = dayOf(Date.now());
  // A test may go on past midnight.
  return { from: day - 1, to: day + 1 };
};
const read = (db: D1Database, id: number) => readStatistics(new Database(db), id, today());

/** A merchant with some payments, and the rows that count all that has happened to them. */
async function aShop() {
  const shop = await newMerchant();
  const [one, other] = [await make(shop.id), await make(shop.id, { currency: "JPY", amount_minor: 500 })];
  await run(shop.id, one, "confirm");
  await run(shop.id, one, "refund", "10");
  await run(shop.id, other, "fail");
  const events = 5;
  /** What the rows are, once the events are counted by nobody but this. */
  const sound = async () => {
    await env.DB.batch(
      ["daily_totals", "totals_cursors"].map((table) =>
        env.DB.prepare(`DELETE FROM ${table} WHERE merchant_id = ?`).bind(shop.id),
      ),
    );
    await caughtUp(shop.api);
    return stored(shop.id);
  };
  return { ...shop, events, sound };
}

/** The database, which does not do what the nth round trip asks, or any later one. */
function breaksAt(db: D1Database, n: number): D1Database {
  let trips = 0;
  return instrumentD1(db, (roundTrip) => {
    if (++trips >= n) throw new Error("D1_ERROR: D1 is overloaded");
    return roundTrip();
  });
}

describe("every event is counted once", () => {
  it("however often one asks", async () => {
    const { id, api, sound } = await aShop();
    const first = await statisticsOf(api);
    const rows = await stored(id);
    expect(await statisticsOf(api)).toEqual(first);
    expect(await stored(id)).toEqual(rows);
    expect(rows).toEqual(await sound());
  });

  it("when several ask at once", async () => {
    const { id, api, events, sound } = await aShop();
    const answers = await Promise.all(Array.from({ length: 8 }, () => statisticsOf(api)));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({ is_complete: true, as_of: { position: events } });
    const rows = await stored(id);
    expect(rows).toEqual(await sound());
  });

  it("when two have read the same events before either counts them, of which one had more to read", async () => {
    const { id, api, sound } = await aShop();
    let hasRead = () => {};
    const mayWrite = new Promise<void>((resolve) => {
      hasRead = resolve;
    });
    let trips = 0;
    const held = instrumentD1(env.DB, async (roundTrip) => {
      if (++trips === 2) await mayWrite;
      return roundTrip();
    });
    const slow = read(held, id);
    while (trips < 2) await env.DB.prepare("SELECT 1").run();
    // The other one counts the same events, and one that came after them.
    await run(id, await make(id), "fail");
    const quick = await read(env.DB, id);
    hasRead();
    expect(await slow).toEqual(quick);
    expect(quick?.place).toMatchObject({ position: 7, newest: 7 });
    const rows = await stored(id);
    expect(rows).toEqual(await sound());
    expect(figuresIn(await statisticsOf(api))?.failed).toBe(1);
  });

  it.each([1, 2])("when the answer of round trip %i is lost", async (n) => {
    const { id, events, sound } = await aShop();
    const found = await read(losesNth(env.DB, n), id);
    expect(found?.place).toMatchObject({ position: events, newest: events });
    const rows = await stored(id);
    expect(rows).toEqual(await sound());
  });

  it.each([1, 2])("when everything breaks off before round trip %i, and begins again", async (n) => {
    const { id, api, key, sound } = await aShop();
    await expect(read(breaksAt(env.DB, n), id)).rejects.toThrow("Out of reach");
    expect(await stored(id)).toEqual([[], []]);
    // The first round trip of a key that nobody has used looks it up.
    const broken = client({ ...env, DB: breaksAt(env.DB, n + 1) }, { key, outages: true });
    await expect(broken.request("GET", STATISTICS)).resolves.toMatchObject({ status: 503 });
    await caughtUp(api);
    const rows = await stored(id);
    expect(rows).toEqual(await sound());
  });

  it("in parts: the totals and the cursor move together, by as many events as one step counts", async () => {
    const { id, api } = await newMerchant();
    await fill(id, 2_500);
    const seen = [await statisticsOf(api), await statisticsOf(api), await statisticsOf(api)];
    expect(seen.map(({ as_of, is_complete }) => [as_of?.position, is_complete])).toEqual([
      [1_000, false],
      [2_000, false],
      [2_500, true],
    ]);
    for (const one of seen) expect(figuresIn(one)).toMatchObject({ created: { count: 1 }, confirmed: { count: 1 } });
    expect(await catchUp(new Database(env.DB), id)).toEqual({ isComplete: true, events: 0 });
  });
});

it("a sum stops at the largest integer, and the next events still count", async () => {
  const { id, api } = await newMerchant();
  const largest = { currency: "KWD", amount_minor: 999_999_999_999_990 };
  await make(id, largest);
  await statisticsOf(api);
  await env.DB.prepare("UPDATE daily_totals SET created_minor = 9223372036854775807 - 999 WHERE merchant_id = ?")
    .bind(id)
    .run();
  await make(id, largest);
  const found = await read(env.DB, id);
  expect(found?.totals.map(({ figures }) => [figures.created, figures.created_minor])).toEqual([[2, 2n ** 63n - 1n]]);
  await make(id, largest);
  expect(figuresIn(await statisticsOf(api), "KWD")?.created).toEqual({
    count: 3,
    amount: Number("9223372036854775.807"),
  });
});

it("sums of more than a safe integer are exact", async () => {
  const { id } = await newMerchant();
  const amounts = Array.from({ length: 31 }, (_, n) => 999_999_999_999_990 - n);
  for (const amount_minor of amounts) await make(id, { currency: "KWD", amount_minor });
  const found = await read(env.DB, id);
  const exact = amounts.reduce((sum, amount) => sum + BigInt(amount), 0n);
  expect(BigInt(Number(exact))).not.toBe(exact);
  const again = await read(env.DB, id);
  for (const one of [found, again]) expect(one?.totals.map(({ figures }) => figures.created_minor)).toEqual([exact]);
});

it("where the database has no room, the totals stay as they are, and say so", async () => {
  const { id, key } = await aShop();
  const full = client({ ...env, DATABASE_MAX_BYTES: "10000" }, { key });
  // The isolate knows the size once D1 has said it.
  await statisticsOf(client(env, { key }), "?from=2020-01-01&to=2020-01-01");
  await make(id);
  const rows = await stored(id);
  expect(await statisticsOf(full)).toMatchObject({ is_complete: false, as_of: { position: 5 } });
  expect(await stored(id)).toEqual(rows);
});

describe("the cost", () => {
  const costOf = async (ask: (db: D1Database) => Promise<unknown>) => {
    const meter: Meter = meterD1(env.DB);
    await ask(meter.db);
    const { trips, rowsRead, rowsWritten } = meter;
    return { trips, rowsRead, rowsWritten };
  };

  it("of totals that have all events is one round trip, whose rows do not grow with the events", async () => {
    const { id, api } = await newMerchant();
    await fill(id, 1_500);
    await caughtUp(api);
    // The cursor, the newest event and the row of the day, each more than once.
    expect(await costOf((db) => read(db, id))).toEqual({ trips: 1, rowsRead: 6, rowsWritten: 0 });
  });

  it("of a step is two round trips, and the rows of its events", async () => {
    const { id } = await newMerchant();
    const created_at = Date.now();
    await seedPayments(
      id,
      Array.from({ length: 600 }, () => ({ created_at, status: "confirmed" as const })),
    );
    // Of an event its row and its payment's; of a confirmation the creation before it, and three of the walk's own. Written: a day, and the cursor.
    expect(await costOf((db) => read(db, id))).toEqual({
      trips: 2,
      rowsRead: 2 * 1_000 + 4 * 500 + 10,
      rowsWritten: 2,
    });
  });

  it("is what docs/operations.md says", () => {
    const each = "1 for each day, currency and provider";
    expect(operations).toContain(`\n| statistics of which every event is counted | 1 | 0 | 0 | 5, and ${each} |\n`);
    expect(operations).toContain(
      `\n| statistics that count 1,000 events more | 2 | 0 | 1, and ${each} of the events | 4,010, where half of them are confirmations, of one day |\n`,
    );
  });

  it("of refunds does not grow with what else has happened to their payment", async () => {
    const { id, api } = await newMerchant();
    await fill(id, 1_000);
    const payment = await env.DB.prepare("SELECT id FROM payments WHERE merchant_id = ?").bind(id).first<number>("id");
    if (payment === null) throw new Error("There is no payment");
    await run(id, payment, "refund", "0.01");
    await caughtUp(api);
    for (let n = 0; n < 50; n++) await run(id, payment, "refund", "0.01");
    const refunds = await costOf((db) => read(db, id));
    // Of a refund its row, its payment's, that of the refund before it, and two of the walk's own.
    expect(refunds).toEqual({ trips: 2, rowsRead: 5 * 50 + 15, rowsWritten: 2 });
    expect(figuresIn(await statisticsOf(api))?.refunds).toEqual({ count: 51, amount: 0.51 });
  });
});
