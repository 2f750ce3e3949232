/** Sending again: the statements that make deliveries due once more, one or those of a range of time. */
import { type DeliveryId, insertDeliveriesOf, isDeliveryId, receives } from "../outbox/outbox";
import { firstFrom } from "../payment/feed";
import type { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";
import { type EndpointId, openOfPayment } from "./deliveries";

/** Has later events of a payment wait for an earlier one that is sent again. */
const putBack = (endpointId: number, positions: Sql) => sql`
  UPDATE webhook_deliveries SET state = 'waiting', next_attempt_at = NULL
  WHERE endpoint_id = ${endpointId} AND state = 'pending' AND position IN (${positions})`;

/**
 * Makes a delivery due now, with all its tries, before the payment's later events that are open; not while an earlier
 * one is. One round trip.
 */
export async function retryDelivery(
  db: Database,
  endpoint: EndpointId,
  position: number,
  now: number,
): Promise<boolean> {
  const { merchantId, endpointId } = endpoint;
  const open = openOfPayment(endpoint, position);
  const { rows } = await db.batch<object>([
    sql`
  UPDATE webhook_deliveries SET state = 'pending', next_attempt_at = ${now}, failures = 0
  WHERE endpoint_id = ${endpointId} AND position = ${position}
  AND NOT EXISTS (SELECT 1 FROM (${open}) WHERE position < ${position})
  AND EXISTS (SELECT 1 FROM webhook_endpoints
    WHERE id = ${endpointId} AND merchant_id = ${merchantId} AND disabled_at IS NULL AND deleted_at IS NULL)
  RETURNING position`,
    putBack(
      endpointId,
      sql`
    SELECT position FROM (${open}) WHERE position > ${position} AND EXISTS (
      SELECT 1 FROM webhook_deliveries
      WHERE endpoint_id = ${endpointId} AND position = ${position} AND state = 'pending')`,
    ),
  ]);
  return (rows[0] ?? []).length > 0;
}

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
  { merchantId, endpointId }: EndpointId,
  { from, to, after }: Range,
  now: number,
): Promise<{ replayed: DeliveryId[]; end: number | null }> {
  const first = sql`max(first, ${after + 1})`;
  const range = sql`
  SELECT ${first} AS first, min(beyond, ${first} + ${MAX_EVENTS_PER_REPLAY}) AS last, beyond
  FROM (SELECT ${firstFrom(merchantId, from)} AS first, ${firstFrom(merchantId, to)} AS beyond)`;
  const eventsOfRange = sql`
    CROSS JOIN events AS event ON event.merchant_id = ${merchantId}
      AND event.position >= range.first AND event.position < range.last
    LEFT JOIN payments ON payments.id = event.payment_id`;
  const source = {
    from: sql`(${range}) AS range
    CROSS JOIN webhook_endpoints AS endpoint ON endpoint.id = ${endpointId} AND endpoint.merchant_id = ${merchantId}
    ${eventsOfRange}`,
    first: sql`
      SELECT 1 FROM json_each(event_positions) AS place
      CROSS JOIN events AS earlier ON earlier.merchant_id = ${merchantId} AND earlier.position = place.value
      LEFT JOIN webhook_deliveries AS open ON open.endpoint_id = endpoint.id AND open.position = place.value
      WHERE place.value < event.position AND (open.state IN ('waiting', 'pending')
        OR (place.value >= range.first AND ${receives("earlier.type")}))`,
    onConflict: raw(`DO UPDATE SET state = excluded.state, next_attempt_at = excluded.next_attempt_at, failures = 0
    WHERE webhook_deliveries.state NOT IN ('waiting', 'pending')`),
  };
  const later = sql`
    SELECT place.value FROM (${range}) AS range ${eventsOfRange}
    CROSS JOIN json_each(event_positions) AS place
    WHERE EXISTS (SELECT 1 FROM json_each(event_positions) AS before
      CROSS JOIN webhook_deliveries AS open ON open.endpoint_id = ${endpointId} AND open.position = before.value
      WHERE before.value < place.value AND open.state IN ('waiting', 'pending'))`;
  const { rows } = await db.batch<DeliveryId | { last: number; beyond: number }>([
    insertDeliveriesOf(source, now),
    putBack(endpointId, later),
    range,
  ]);
  const ends = rows[2]?.find((row) => "beyond" in row);
  const replayed = (rows[0] ?? []).filter(isDeliveryId);
  return { replayed, end: ends && ends.last < ends.beyond ? ends.last - 1 : null };
}
