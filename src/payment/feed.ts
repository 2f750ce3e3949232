/** The feed: a merchant's events in the order of their commits. */
import type { Database } from "../storage/database";
import { atPositions, chosenOf, type FoundEvent, type PaymentEvent } from "./history";

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
  const looked = types && paymentId === undefined ? limit * MAX_EVENTS_SCANNED_PER_RESULT : null;
  const table =
    paymentId === undefined
      ? "events AS seen"
      : `payments CROSS JOIN json_each(event_positions) AS place
        CROSS JOIN events AS seen ON seen.merchant_id = payments.merchant_id AND seen.position = place.value`;
  const positions = `
    SELECT seen.position FROM ${table} WHERE seen.merchant_id = ?1 AND seen.position > ?2
    ${paymentId === undefined ? "" : "AND payments.id = ?5 AND payments.merchant_id = ?1"}
    ${looked === null ? "" : `AND seen.position <= ?2 + ${looked}`}
    ${types ? "AND seen.type IN (SELECT value FROM json_each(?4))" : ""} ORDER BY seen.position LIMIT ?3`;
  const values = [merchantId, after, limit + 1, JSON.stringify(types ?? []), paymentId ?? 0];
  const used = paymentId !== undefined ? 5 : types ? 4 : 3;
  const { rows } = await db.batch<(FoundEvent & { chosen: number }) | { newest: number }>([
    db.prepare(atPositions(positions)).bind(...values.slice(0, used)),
    db.prepare("SELECT coalesce(max(position), 0) AS newest FROM events WHERE merchant_id = ?").bind(merchantId),
  ]);
  const newest = rows[1]?.find((row) => "newest" in row)?.newest ?? 0;
  if (after > newest) return null;
  const found = chosenOf(
    merchantId,
    (rows[0] ?? []).filter((row) => "chosen" in row),
  );
  const events = found.slice(0, limit);
  const last = events.at(-1);
  const end = last && found.length > limit ? last.position : Math.min(newest, after + (looked ?? newest));
  return { events, end, hasMore: end < newest && (found.length > limit || looked !== null) };
}
