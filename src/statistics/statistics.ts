/** The statistics of a merchant: sums over its feed, by currency, day and provider. */
import type { InferSelectModel } from "drizzle-orm";
import type { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";
import { findFailingEndpoints } from "../webhook/endpoints";
import { COUNTS, countEvents, findNextEvents, findPlace, type NextEvent, SUMS } from "./catch-up";
import type { ConfirmTimes } from "./confirm-times";
import type { DailyTotals, Place, Statistics, StatisticsQuery } from "./figures";
import type { dailyTotals } from "./tables";

/** Rows of daily totals that one answer is made of: 366 days of one currency at 50 providers, or some 60 of all currencies at two. */
export const MAX_TOTALS = 20_000;

type TotalsRow = Omit<InferSelectModel<typeof dailyTotals>, "merchant_id" | (typeof SUMS)[number]> &
  Readonly<Record<(typeof SUMS)[number], string>>;

const findTotals = (merchantId: number, { from, to, currency, provider }: StatisticsQuery): Sql => sql`
  SELECT day, currency, provider, confirm_times, ${raw(COUNTS.join(", "))},
    ${raw(SUMS.map((column) => `CAST(${column} AS TEXT) AS ${column}`).join(", "))}
  FROM daily_totals WHERE merchant_id = ${merchantId} AND day BETWEEN ${from} AND ${to}
  ${currency === undefined ? raw("") : sql`AND currency = ${currency}`}
  ${provider === undefined ? raw("") : sql`AND provider = ${provider}`}
  ORDER BY day, currency, provider LIMIT ${MAX_TOTALS + 1}`;

function toTotals({ day, currency, provider, confirm_times, ...row }: TotalsRow): DailyTotals {
  const times: ConfirmTimes = JSON.parse(confirm_times);
  const { created_minor, captured_minor, refunded_minor, reversed_minor, confirm_ms, ...counts } = row;
  const figures = {
    ...counts,
    created_minor: BigInt(created_minor),
    captured_minor: BigInt(captured_minor),
    refunded_minor: BigInt(refunded_minor),
    reversed_minor: BigInt(reversed_minor),
    confirm_ms: BigInt(confirm_ms),
    confirm_times: times,
  };
  return { day, currency, provider, figures };
}

/**
 * The statistics of some days, after the next events of the feed were counted: as many as one step counts. Two round trips, one where there is
 * nothing to count. Null where the days have too many totals for one answer.
 *
 * @param mayCount false to leave the totals as they are, where the database has no room
 */
export async function readStatistics(
  db: Database,
  merchantId: number,
  query: StatisticsQuery,
  mayCount = true,
): Promise<Statistics | null> {
  const place = findPlace(merchantId);
  const totals = findTotals(merchantId, query);
  const failing = findFailingEndpoints(merchantId);
  type Rows = [Place, TotalsRow, { failing: number }, NextEvent];
  const { rows } = await db.batch<Rows>([place, totals, failing, mayCount ? findNextEvents(merchantId) : null]);
  const [[before], found, [endpoints], events] = rows;
  const failingEndpoints = endpoints?.failing ?? 0;
  if (before === undefined || events.length === 0) return statisticsOf(found, before, failingEndpoints);
  // Whoever else has counted them meanwhile has come to the same.
  const [totalsStatement, cursorStatement] = countEvents(merchantId, before, events);
  const counted = await db.batch<[never, never, Place, TotalsRow]>([
    totalsStatement ?? null,
    cursorStatement ?? null,
    place,
    totals,
  ]);
  const [, , [after], summed] = counted.rows;
  return statisticsOf(summed, after, failingEndpoints);
}

const NOTHING_COUNTED: Place = { position: 0, event_at: null, newest: 0 };

const statisticsOf = (rows: readonly TotalsRow[], place = NOTHING_COUNTED, failingEndpoints: number) =>
  rows.length > MAX_TOTALS ? null : { totals: rows.map(toTotals), place, failingEndpoints };
