/** The feed: a merchant's events in the order of their commits. */
import type { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";
import { atPositions, chosenOf, type EventAt, type FeedEvent } from "./history";

export interface FeedQuery {
  /** The position that was read last; 0 before the first. */
  readonly after: number;
  readonly limit: number;
  readonly types?: readonly string[] | undefined;
  readonly paymentId?: number | undefined;
  /** Only events from this time on, in milliseconds. */
  readonly from?: number | undefined;
  /** Only events up to this time, in milliseconds. */
  readonly to?: number | undefined;
}

export interface Feed {
  /** Oldest first. */
  readonly events: readonly FeedEvent[];
  /** Where to read on, now or later: nothing up to here is left out. */
  readonly end: number;
  /** Whether the feed goes on from there. */
  readonly hasMore: boolean;
}

/**
 * How many events, for each one asked for, are scanned where types are asked for. A page then ends early, and
 * its cursor leads on.
 */
export const MAX_EVENTS_SCANNED_PER_RESULT = 10;

/**
 * The position of a merchant's first event that is not before a time, or of the next one, as SQL: found by halving,
 * since the times of a merchant's events never fall. It reads three rows for each time that their number doubles.
 */
export const firstFrom = (merchantId: number, time: number): Sql => {
  const middle = raw("(low + high) / 2");
  const isBefore = sql`(SELECT created_at FROM events WHERE merchant_id = ${merchantId} AND position = ${middle}) < ${time}`;
  return sql`(
    WITH RECURSIVE halving (low, high) AS (
      SELECT 1, 1 + coalesce((SELECT max(position) FROM events WHERE merchant_id = ${merchantId}), 0)
      UNION ALL
      SELECT iif(${isBefore}, ${middle} + 1, low), iif(${isBefore}, high, ${middle}) FROM halving WHERE low < high
    ) SELECT low FROM halving WHERE low >= high)`;
};

/** Where a reading begins, where its range of time ends, and where the feed does; each position is the last before it. */
interface Bounds {
  readonly begin: number;
  readonly last: number;
  readonly newest: number;
}

/**
 * A merchant's events after a position, in the order of their commits. A position is given in the transaction
 * that writes the event, so that nothing ever appears behind one that was read. A range of time is one of positions:
 * its end moves on while it lies in the future. One round trip; null when the feed has never been so far.
 */
export async function readFeed(
  db: Database,
  merchantId: number,
  { after, limit, types, paymentId, from, to }: FeedQuery,
): Promise<Feed | null> {
  const scanned = types && paymentId === undefined ? limit * MAX_EVENTS_SCANNED_PER_RESULT : null;
  const bounds = sql`
    SELECT ${from === undefined ? sql`${after}` : sql`max(${after}, ${firstFrom(merchantId, from)} - 1)`} AS begin,
      ${to === undefined ? raw("newest") : sql`${firstFrom(merchantId, to + 1)} - 1`} AS last, newest
    FROM (SELECT coalesce(max(position), 0) AS newest FROM events WHERE merchant_id = ${merchantId})`;
  const places =
    paymentId === undefined
      ? raw("CROSS JOIN events AS seen")
      : sql`CROSS JOIN payments ON payments.id = ${paymentId} AND payments.merchant_id = ${merchantId}
        CROSS JOIN json_each(event_positions) AS place
        CROSS JOIN events AS seen ON seen.position = place.value`;
  const positions = sql`
    SELECT seen.position FROM (${bounds}) AS bounds ${places}
    WHERE seen.merchant_id = ${merchantId} AND seen.position > begin
    AND seen.position <= ${scanned === null ? raw("last") : sql`min(last, begin + ${scanned})`}
    ${types ? sql`AND seen.type IN (SELECT value FROM json_each(${JSON.stringify(types)}))` : raw("")}
    ORDER BY seen.position LIMIT ${limit + 1}`;
  const { rows } = await db.batch<[EventAt, Bounds]>([atPositions(merchantId, positions), bounds]);
  const [found, [reached]] = rows;
  const { begin, last, newest } = reached ?? { begin: after, last: 0, newest: 0 };
  if (after > newest) return null;
  const chosen = chosenOf(merchantId, found);
  const events = chosen.slice(0, limit);
  const newestRead = events.at(-1);
  if (newestRead && chosen.length > limit) return { events, end: newestRead.position, hasMore: true };
  // Not before where it began: a cursor may lie behind the range.
  const end = Math.max(begin, scanned === null ? last : Math.min(last, begin + scanned));
  return { events, end, hasMore: end < last };
}
