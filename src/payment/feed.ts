/** The feed: a merchant's events in the order of their commits. */
import type { Database } from "../storage/database";
import { join, sql } from "../storage/sql";
import { atPositions, chosenOf, type EventAt, type PaymentEvent } from "./history";

export interface FeedQuery {
  /** The position that was read last; 0 before the first. */
  readonly after: number;
  readonly limit: number;
  readonly types?: readonly string[] | undefined;
  readonly paymentId?: number | undefined;
}

export interface Feed {
  /** Oldest first. */
  readonly events: readonly PaymentEvent[];
  /** Where to read on, now or later: nothing up to here is left out. */
  readonly end: number;
  /** Whether the feed goes on from there. */
  readonly hasMore: boolean;
}

/**
 * How many events, for each one asked for, are looked at where types are asked for. A page then ends early, and
 * its cursor leads on.
 */
export const MAX_EVENTS_SCANNED_PER_RESULT = 10;

/**
 * A merchant's events after a position, in the order of their commits. A position is given in the transaction
 * that writes the event, so that nothing ever appears behind one that was read. One round trip; null when the
 * feed has never been so far.
 */
export async function readFeed(
  db: Database,
  merchantId: number,
  { after, limit, types, paymentId }: FeedQuery,
): Promise<Feed | null> {
  const scanned = types && paymentId === undefined ? limit * MAX_EVENTS_SCANNED_PER_RESULT : null;
  const wanted = join(
    [
      sql`seen.merchant_id = ${merchantId} AND seen.position > ${after}`,
      ...(scanned === null ? [] : [sql`seen.position <= ${after + scanned}`]),
      ...(types ? [sql`seen.type IN (SELECT value FROM json_each(${JSON.stringify(types)}))`] : []),
    ],
    " AND ",
  );
  const source =
    paymentId === undefined
      ? sql`events AS seen`
      : sql`payments CROSS JOIN json_each(event_positions) AS place ON payments.id = ${paymentId}
          AND payments.merchant_id = ${merchantId}
        CROSS JOIN events AS seen ON seen.merchant_id = payments.merchant_id AND seen.position = place.value`;
  const positions = sql`
    SELECT seen.position FROM ${source} WHERE ${wanted} ORDER BY seen.position LIMIT ${limit + 1}`;
  const { rows } = await db.batch<[EventAt, { newest: number }]>([
    atPositions(merchantId, positions),
    sql`SELECT coalesce(max(position), 0) AS newest FROM events WHERE merchant_id = ${merchantId}`,
  ]);
  const [found, [last]] = rows;
  const newest = last?.newest ?? 0;
  if (after > newest) return null;
  const chosen = chosenOf(merchantId, found);
  const events = chosen.slice(0, limit);
  const isFull = chosen.length > limit;
  // A full page ends with its last event, another one where its window, or the feed, does.
  const end = (isFull ? events.at(-1)?.position : undefined) ?? Math.min(newest, after + (scanned ?? newest));
  return { events, end, hasMore: end < newest && (isFull || scanned !== null) };
}
