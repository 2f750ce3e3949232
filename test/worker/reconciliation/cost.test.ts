/** What reconciliation costs: D1 round trips and rows, of a page of a hundred, and of an item. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import reconciliation from "../../../docs/reconciliation.md?raw";
import { openItemOfPayment } from "../../../src/reconciliation/open-item";
import { Database } from "../../../src/storage/database";
import { meterD1 } from "../d1";
import { DAY_MS, forgetRuns, refundOf, Shop } from "./ledger";

interface Cost {
  readonly trips: number;
  readonly rowsWritten: number;
  readonly rowsRead: number;
}

/** What work costs in D1. */
async function costOf(work: (db: D1Database) => Promise<unknown>): Promise<Cost> {
  const meter = meterD1(env.DB);
  await work(meter.db);
  const { trips, rowsWritten, rowsRead } = meter;
  return { trips, rowsWritten, rowsRead };
}

const minus = (one: Cost, other: Cost): Cost => ({
  trips: one.trips - other.trips,
  rowsWritten: one.rowsWritten - other.rowsWritten,
  rowsRead: one.rowsRead - other.rowsRead,
});

/** What a run costs, to its end. */
async function costOfRun(shop: Shop, compared: number): Promise<Cost> {
  const id = await shop.begin();
  const cost = await costOf((db) => shop.finish(id, db));
  expect(await shop.run(id)).toMatchObject({ state: "done", compared, differing: 0 });
  return cost;
}

async function newShop(): Promise<Shop> {
  await forgetRuns();
  return Shop.open();
}

/** What a run that finds nothing costs. */
async function costOfNothing(): Promise<Cost> {
  return costOfRun(await newShop(), 0);
}

const MEASURES: Readonly<Record<string, () => Promise<Cost>>> = {
  "a run that finds nothing to compare": costOfNothing,

  async "a page of 100 payments that are alike"() {
    const shop = await newShop();
    for (let payments = 0; payments < 100; payments++) await shop.both();
    return minus(await costOfRun(shop, 100), await costOfNothing());
  },

  async "a page of 100 refunds that are known"() {
    const shop = await newShop();
    // A refund of a payment that is too old to be listed: what happened to it lies before the time, too.
    const ids: number[] = [];
    for (let payments = 0; payments < 100; payments++) {
      const name = `re_${shop.merchantId}_${payments}`;
      const at = shop.now - 3 * DAY_MS;
      ids.push((await shop.both({ at, refunds: { [name]: 10 } }, { createdAt: at })).id);
    }
    // The provider lists refunds by their own time.
    const list = shop.ledger.adapter.list.bind(shop.ledger.adapter);
    Object.assign(shop.ledger.adapter, {
      list: (...[connection, request]: Parameters<typeof list>) =>
        list(connection, { ...request, ...(request.listing === "refunds" && { from: 0 }) }),
    });
    expect(ids.length).toBe(100);
    return minus(await costOfRun(shop, 100), await costOfNothing());
  },

  async "an item of a payment"() {
    const shop = await newShop();
    const { id: payment_id, there } = await shop.both();
    there.refunds.push(refundOf("re_1", 10));
    const item = {
      payment_id,
      account: shop.account,
      kind: "unknown_refund",
      reference: "re_1",
      detail: "Found",
    } as const;
    const origin = {
      merchantId: shop.merchantId,
      keyId: null,
      requestId: "r",
      commitId: crypto.randomUUID(),
      now: shop.now,
    };
    return costOf((db) => openItemOfPayment(new Database(db), origin, item));
  },
};

/** The row of the page's table, as numbers. */
function documented(what: string): number[] {
  const row = reconciliation.split("\n").find((line) => line.startsWith(`| ${what} |`)) ?? "";
  return row
    .split("|")
    .slice(2, -1)
    .map((cell) => Number(cell.replaceAll(",", "")));
}

describe.each(Object.entries(MEASURES))("%s", (what, measure) => {
  it("takes the round trips of docs/reconciliation.md, and no more rows than that says", async () => {
    const { trips, rowsWritten, rowsRead } = await measure();
    const [mostTrips = 0, mostWritten = 0, mostRead = 0] = documented(what);
    expect([what, trips, rowsWritten <= mostWritten, rowsRead <= mostRead, rowsWritten, rowsRead]).toEqual([
      what,
      mostTrips,
      true,
      true,
      rowsWritten,
      rowsRead,
    ]);
    // A figure that is far beyond what there is would say nothing.
    expect(rowsRead).toBeGreaterThan(mostRead / 2);
  }, 60_000);
});
