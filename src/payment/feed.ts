/** The feed: a merchant's events in the order of their commits. */
import type { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";
import { atPositions, chosenOf, type EventAt, type FeedEvent } from "./history";

export interface FeedQuery {
  /** The position that was read last; null to begin: with the first event, or where it goes backward with the newest. */
  readonly last: number | null;
  /** Whether it goes from the newest event to the first. */
  readonly backward: boolean;
  readonly limit: number;
  readonly types?: readonly string[] | undefined;
  readonly paymentId?: number | undefined;
  /** Only events from this time on, in milliseconds. */
  readonly from?: number | undefined;
  /** Only events up to this time, in milliseconds. */
  readonly to?: number | undefined;
}

export interface Feed {
  /** In the order in which they were asked for. */
  readonly events: readonly FeedEvent[];
  /** Where to read on, now or later: nothing on the way to here is left out. */
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

/** Where a reading begins, where it ends, and where the feed does: it is of what is after `begin`, up to `end`. */
interface Bounds {
  readonly begin: number;
  readonly end: number;
  readonly newest: number;
}

/**
 * A merchant's events from a position on, in the order of their commits, or in the opposite one. A position is given in the
 * transaction that writes the event, so that nothing ever appears behind one that was read. A range of time is one of
 * positions: its end moves on while it lies in the future. One round trip; null when the feed has never been so far.
 */
export async function readFeed(
  db: Database,
  merchantId: number,
  { last, backward, limit, types, paymentId, from, to }: FeedQuery,
): Promise<Feed | null> {
  const scanned = types && paymentId === undefined ? limit * MAX_EVENTS_SCANNED_PER_RESULT : null;
  const lowest = backward ? 0 : (last ?? 0);
  const highest = backward && last !== null ? sql`min(newest, ${last - 1})` : raw("newest");
  const bounds = sql`
    SELECT ${from === undefined ? sql`${lowest}` : sql`max(${lowest}, ${firstFrom(merchantId, from)} - 1)`} AS begin,
      ${to === undefined ? highest : sql`min(${highest}, ${firstFrom(merchantId, to + 1)} - 1)`} AS end, newest
    FROM (SELECT coalesce(max(position), 0) AS newest FROM events WHERE merchant_id = ${merchantId})`;
  const places =
    paymentId === undefined
      ? raw("CROSS JOIN events AS seen")
      : sql`CROSS JOIN payments ON payments.id = ${paymentId} AND payments.merchant_id = ${merchantId}
        CROSS JOIN json_each(event_positions) AS place
        CROSS JOIN events AS seen ON seen.position = place.value`;
  const first = scanned !== null && backward ? sql`max(begin, end - ${scanned})` : raw("begin");
  const final = scanned !== null && !backward ? sql`min(end, begin + ${scanned})` : raw("end");
  const positions = sql`
    SELECT seen.position FROM (${bounds}) AS bounds ${places}
    WHERE seen.merchant_id = ${merchantId} AND seen.position > ${first} AND seen.position <= ${final}
    ${types ? sql`AND seen.type IN (SELECT value FROM json_each(${JSON.stringify(types)}))` : raw("")}
    ORDER BY seen.position ${raw(backward ? "DESC" : "ASC")} LIMIT ${limit + 1}`;
  const { rows } = await db.batch<[EventAt, Bounds]>([atPositions(merchantId, positions), bounds]);
  const [found, [reached]] = rows;
  const { begin, end, newest } = reached ?? { begin: lowest, end: 0, newest: 0 };
  if (last !== null && last > newest + (backward ? 1 : 0)) return null;
  const chosen = chosenOf(merchantId, found);
  if (backward) chosen.reverse();
  const events = chosen.slice(0, limit);
  const lastRead = events.at(-1);
  if (lastRead && chosen.length > limit) return { events, end: lastRead.position, hasMore: true };
  if (backward) {
    // Everything after it is read, and of what is asked for there is nothing up to `begin`.
    const reachedTo = Math.max(begin, scanned === null ? begin : end - scanned);
    return { events, end: reachedTo + 1, hasMore: reachedTo > begin };
  }
  // Not before where it began: a cursor may lie behind the range.
  const reachedTo = Math.max(begin, scanned === null ? end : Math.min(end, begin + scanned));
  return { events, end: reachedTo, hasMore: reachedTo < end };
}
