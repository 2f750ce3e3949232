/** Sending again: the statements that make deliveries due once more, one or those of a range of time. */
import { type DeliveryId, isDeliveryId } from "../outbox/outbox";
import type { Database } from "../storage/database";
import { OPEN_OF_PAYMENT } from "./deliveries";

/** Has later events of a payment wait for an earlier one that is sent again. ?1 is the endpoint. */
const putBack = (positions: string) => `
  UPDATE webhook_deliveries SET state = 'waiting', next_attempt_at = NULL
  WHERE endpoint_id = ?1 AND state = 'pending' AND position IN (${positions})`;

/**
 * Makes a delivery due now, with all its tries, before the payment's later events that are open; not while an earlier
 * one is. One round trip.
 */
export async function retryDelivery(db: Database, endpointId: number, position: number, now: number): Promise<boolean> {
  const sql = `
  UPDATE webhook_deliveries SET state = 'pending', next_attempt_at = ?3, failures = 0
  WHERE endpoint_id = ?1 AND position = ?2 AND NOT EXISTS (SELECT 1 FROM (${OPEN_OF_PAYMENT}) WHERE position < ?2)
  AND EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = ?1 AND disabled_at IS NULL AND deleted_at IS NULL)
  RETURNING position`;
  const later = putBack(`
    SELECT position FROM (${OPEN_OF_PAYMENT}) WHERE position > ?2 AND EXISTS (
      SELECT 1 FROM webhook_deliveries WHERE endpoint_id = ?1 AND position = ?2 AND state = 'pending')`);
  const { rows } = await db.batch<object>([
    db.prepare(sql).bind(endpointId, position, now),
    db.prepare(later).bind(endpointId, position),
  ]);
  return (rows[0] ?? []).length > 0;
}

/** The position of a merchant's first event that is not before a time, or of the next one: found by halving. */
const firstFrom = (time: string) => {
  const middle = "(low + high) / 2";
  const isBefore = `(SELECT created_at FROM events WHERE merchant_id = ?2 AND position = ${middle}) < ${time}`;
  return `(
    WITH RECURSIVE halving (low, high) AS (
      SELECT 1, 1 + coalesce((SELECT max(position) FROM events WHERE merchant_id = ?2), 0)
      UNION ALL
      SELECT iif(${isBefore}, ${middle} + 1, low), iif(${isBefore}, high, ${middle}) FROM halving WHERE low < high
    ) SELECT low FROM halving WHERE low >= high)`;
};

/** Events that one replay sends again, at most. */
export const MAX_EVENTS_PER_REPLAY = 1_000;

export interface Range {
  /** In milliseconds; the first is included, the second is not. */
  readonly from: number;
  readonly to: number;
  /** Only events after this position. */
  readonly after: number;
}

/**
 * Delivers the events of a time range again, also those that had no delivery; what is still open keeps its tries.
 * Each payment's go in their order, before its later ones that are open. One round trip, which reads a few rows for
 * each event of the range.
 *
 * @returns what is delivered again, and the position to go on after; null at the end of the range
 */
export async function replayRange(
  db: Database,
  merchantId: number,
  endpointId: number,
  { from, to, after }: Range,
  now: number,
): Promise<{ replayed: DeliveryId[]; end: number | null }> {
  const range = `
  SELECT max(first, ?3 + 1) AS first, min(beyond, max(first, ?3 + 1) + ${MAX_EVENTS_PER_REPLAY}) AS last, beyond
  FROM (SELECT ${firstFrom("?4")} AS first, ${firstFrom("?5")} AS beyond)`;
  const sql = `
  INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
  SELECT endpoint_id, position, iif(waits, 'waiting', 'pending'), iif(waits, NULL, ?6), ?6
  FROM (
    SELECT endpoint.id AS endpoint_id, event.position, EXISTS (
      SELECT 1 FROM json_each(event_positions) AS place
      CROSS JOIN events AS earlier ON earlier.merchant_id = ?2 AND earlier.position = place.value
      LEFT JOIN webhook_deliveries AS open ON open.endpoint_id = ?1 AND open.position = place.value
      WHERE place.value < event.position AND (open.state IN ('waiting', 'pending') OR (place.value >= range.first
        AND EXISTS (SELECT 1 FROM json_each(endpoint.types) AS wanted WHERE wanted.value = earlier.type)))) AS waits
    FROM (${range}) AS range
    CROSS JOIN webhook_endpoints AS endpoint ON endpoint.id = ?1 AND endpoint.merchant_id = ?2
    CROSS JOIN events AS event ON event.merchant_id = ?2 AND event.position >= range.first AND event.position < range.last
    CROSS JOIN payments ON payments.id = event.payment_id
    WHERE endpoint.disabled_at IS NULL AND endpoint.deleted_at IS NULL
    AND EXISTS (SELECT 1 FROM json_each(endpoint.types) AS wanted WHERE wanted.value = event.type)
  )
  WHERE true
  ON CONFLICT (endpoint_id, position) DO UPDATE SET state = excluded.state, next_attempt_at = excluded.next_attempt_at,
    failures = 0 WHERE webhook_deliveries.state NOT IN ('waiting', 'pending')
  RETURNING endpoint_id, position`;
  const later = putBack(`
    SELECT place.value FROM (${range}) AS range
    CROSS JOIN events AS event ON event.merchant_id = ?2 AND event.position >= range.first AND event.position < range.last
    CROSS JOIN payments ON payments.id = event.payment_id
    CROSS JOIN json_each(event_positions) AS place
    WHERE EXISTS (SELECT 1 FROM json_each(event_positions) AS before
      CROSS JOIN webhook_deliveries AS open ON open.endpoint_id = ?1 AND open.position = before.value
      WHERE before.value < place.value AND open.state IN ('waiting', 'pending'))`);
  const { rows } = await db.batch<DeliveryId | { last: number; beyond: number }>([
    db.prepare(sql).bind(endpointId, merchantId, after, from, to, now),
    db.prepare(later).bind(endpointId, merchantId, after, from, to),
    db.prepare(range).bind(endpointId, merchantId, after, from, to),
  ]);
  const ends = rows[2]?.find((row) => "beyond" in row);
  const replayed = (rows[0] ?? []).filter(isDeliveryId);
  return { replayed, end: ends && ends.last < ends.beyond ? ends.last - 1 : null };
}
