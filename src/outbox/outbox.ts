/**
 * The outbox: what is still to be told to whom, written in the batch of the change itself. After the commit the
 * queue is told; it may lose, double or reorder what it is told, for the rows decide.
 */
import type { Context } from "hono";
import type { App } from "../context";
import { logError } from "../storage/log";

/** Which event is told to which endpoint. */
export interface DeliveryId {
  readonly endpoint_id: number;
  /** The event's position, among those of the endpoint's merchant. */
  readonly position: number;
}

export interface DeliveryMessage {
  readonly deliveries: readonly DeliveryId[];
}

/**
 * The deliveries of the newest event of a payment, when this request has written it: one for each endpoint of the
 * merchant that is told of its type, and no row read or written where there is none. It waits for an earlier event
 * of the payment that the endpoint has not taken yet. Running it again does nothing. CROSS JOIN keeps the order of its
 * tables, which reads a few rows for each endpoint, however many deliveries it has.
 *
 * ?1 is the merchant, ?2 the request's commit id, ?3 the time.
 *
 * @param payment which payment, as SQL
 */
export function insertDeliveries(payment: string): string {
  return `
  INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
  SELECT endpoint_id, position, iif(waits, 'waiting', 'pending'), iif(waits, NULL, ?3), ?3
  FROM (
    SELECT endpoint.id AS endpoint_id, event.position, EXISTS (
      SELECT 1 FROM json_each(event_positions) AS place
      CROSS JOIN webhook_deliveries AS earlier ON earlier.endpoint_id = endpoint.id AND earlier.position = place.value
      WHERE earlier.state IN ('waiting', 'pending')) AS waits
    FROM webhook_endpoints AS endpoint INDEXED BY webhook_endpoints_enabled
    CROSS JOIN payments ON payments.id = ${payment} AND payments.merchant_id = endpoint.merchant_id
    CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id
      AND event.position = event_positions ->> '$[#-1]' AND event.commit_id = ?2
    WHERE endpoint.merchant_id = ?1 AND endpoint.disabled_at IS NULL AND endpoint.deleted_at IS NULL
    AND EXISTS (SELECT 1 FROM json_each(endpoint.types) AS wanted WHERE wanted.value = event.type)
  )
  WHERE true
  ON CONFLICT (endpoint_id, position) DO NOTHING
  RETURNING endpoint_id, position`;
}

export const isDeliveryId = (row: object): row is DeliveryId => "endpoint_id" in row && "position" in row;

/** Tells the queue, after the answer. What it is not told, or loses, the sweep finds in its rows. */
export function enqueueDeliveries(c: Context<App>, deliveries: readonly DeliveryId[]): void {
  if (deliveries.length === 0) return;
  const message: DeliveryMessage = { deliveries };
  c.executionCtx.waitUntil(
    c.env.DELIVERIES.send(message).catch((error: unknown) => {
      const cause = String(error);
      logError({ message: "deliveries not queued", request_id: c.get("requestId"), cause });
    }),
  );
}
