/**
 * Catching daily totals up with the feed, in steps of a bounded number of events. Nothing is written on a payment's own way: a step
 * runs when somebody asks for the totals, and in a job. The totals and the cursor, which says what they have, change in one
 * batch, and only while the cursor is where the step has read on from: so each event counts once, however many steps run at
 * once, and whichever of their answers are lost.
 */
import type { Database } from "../storage/database";
import { join, raw, type Sql, sql } from "../storage/sql";
import { type CountedEvent, type DailyTotals, foldEvents, type Place } from "./figures";

/** Events that one step counts: some ten milliseconds of D1, and some 200 KB of its answer. */
export const EVENTS_PER_STEP = 1_000;

/** The place of a merchant's totals, as a query: one row. */
export const findPlace = (merchantId: number): Sql => sql`
  SELECT coalesce((SELECT position FROM totals_cursors WHERE merchant_id = ${merchantId}), 0) AS position,
    (SELECT event_at FROM totals_cursors WHERE merchant_id = ${merchantId}) AS event_at,
    coalesce((SELECT max(position) FROM events WHERE merchant_id = ${merchantId}), 0) AS newest`;

/** An event that is not counted yet. Without a payment it counts for nothing, and its currency is NULL. */
export type NextEvent = Pick<CountedEvent, "type" | "created_at"> & { readonly position: number } & (
    | Omit<CountedEvent, "type" | "created_at">
    | { readonly currency: null }
  );

/**
 * What an event has changed of an amount of its payment. An event has the amount as it was after it; before, it was what the
 * nearest earlier event of the payment says that has it too. The walk goes back from event to event, and reads no others.
 */
const changeOf = (column: "captured_minor" | "refunded_minor"): Sql => {
  const amount = `data ->> '$.${column}'`;
  return raw(`iif(event.${amount} IS NULL, 0, event.${amount} - coalesce((
      WITH RECURSIVE back (place, amount) AS (
        SELECT event.sequence - 1, NULL
        UNION ALL
        SELECT place - 1, (SELECT ${amount} FROM events AS earlier
          WHERE earlier.merchant_id = event.merchant_id AND earlier.position = event_positions ->> (place - 1))
        FROM back WHERE amount IS NULL AND place > 0
      ) SELECT amount FROM back WHERE amount IS NOT NULL), 0))`);
};

/** The events behind the place of a merchant's totals, as a query. What is read of their payments never changes. */
export const findNextEvents = (merchantId: number): Sql => sql`
  SELECT event.position, event.type, event.created_at, currency, provider, amount_minor, payments.created_at AS payment_created_at,
    ${changeOf("captured_minor")} AS captured_change, ${changeOf("refunded_minor")} AS refunded_change
  FROM events AS event LEFT JOIN payments ON payments.id = event.payment_id AND payments.merchant_id = event.merchant_id
  WHERE event.merchant_id = ${merchantId}
  AND event.position > coalesce((SELECT position FROM totals_cursors WHERE merchant_id = ${merchantId}), 0)
  ORDER BY event.position LIMIT ${EVENTS_PER_STEP}`;

const isOfPayment = (event: NextEvent): event is NextEvent & CountedEvent => event.currency !== null;

/** The columns that count, and those whose sums may be more than a number holds: these go in and out as texts. */
export const COUNTS = [
  ...(["created", "confirmed", "failed", "cancelled", "expired", "refunds", "reversals"] as const),
] as const;
export const SUMS = [
  ...(["created_minor", "captured_minor", "refunded_minor", "reversed_minor", "confirm_ms"] as const),
] as const;

/** The largest integer of SQLite. */
const MAX_SUM = raw("9223372036854775807");

/** The statements that count events which were read from a place: two, for one batch. They do nothing once the cursor has moved. */
export function countEvents(merchantId: number, place: Place, events: readonly NextEvent[]): readonly Sql[] {
  const last = events.at(-1);
  if (last === undefined) return [];
  const isUnmoved = sql`coalesce((SELECT position FROM totals_cursors WHERE merchant_id = ${merchantId}), 0) = ${place.position}`;
  const totals = [...foldEvents(new Map(), events.filter(isOfPayment)).values()];
  const columns = [...COUNTS, ...SUMS];
  // What would be beyond is a REAL, and more than the largest: the sum stays there, and the next events still count.
  const added = columns.map((column) =>
    raw(`${column} = min(${MAX_SUM.text}, daily_totals.${column} + excluded.${column})`),
  );
  return [
    sql`
    INSERT INTO daily_totals (merchant_id, day, currency, provider, confirm_times, ${raw(columns.join(", "))})
    SELECT ${merchantId}, value ->> 'day', value ->> 'currency', value ->> 'provider', value -> 'confirm_times',
      ${raw(columns.map((column) => `CAST(value ->> '${column}' AS INTEGER)`).join(", "))}
    FROM json_each(${JSON.stringify(totals.map(toRow))}) WHERE ${isUnmoved}
    ON CONFLICT (merchant_id, day, currency, provider) DO UPDATE SET ${join(added, ", ")}, confirm_times = (
      SELECT json_group_object(range, count) FROM (
        SELECT key AS range, sum(value) AS count FROM (
          SELECT key, value FROM json_each(daily_totals.confirm_times)
          UNION ALL SELECT key, value FROM json_each(excluded.confirm_times))
        GROUP BY key))`,
    sql`
    INSERT INTO totals_cursors (merchant_id, position, event_at)
    SELECT ${merchantId}, ${last.position}, ${last.created_at} WHERE ${isUnmoved}
    ON CONFLICT (merchant_id) DO UPDATE SET position = excluded.position, event_at = excluded.event_at`,
  ];
}

const toRow = ({ figures, ...row }: DailyTotals) => ({
  ...row,
  ...figures,
  ...Object.fromEntries(SUMS.map((column) => [column, String(figures[column])])),
});

/**
 * Counts a merchant's next events. Two round trips, one where there is nothing to count.
 *
 * @returns whether more may be left
 * @throws Outage when D1 is out of reach; what was counted before stays so
 */
export async function catchUp(db: Database, merchantId: number): Promise<{ isComplete: boolean; events: number }> {
  const { rows } = await db.batch<[Place, NextEvent]>([findPlace(merchantId), findNextEvents(merchantId)]);
  const [[place], events] = rows;
  if (place === undefined || events.length === 0) return { isComplete: true, events: 0 };
  await db.batch(countEvents(merchantId, place, events));
  return { isComplete: place.position + events.length === place.newest, events: events.length };
}
