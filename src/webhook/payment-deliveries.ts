/** The deliveries of a payment's events to all endpoints of its merchant: the statement that reads them. */
import type { Database } from "../storage/database";
import { raw, sql } from "../storage/sql";
import { type Delivery, deliveryColumns, type FoundDelivery, readDelivery } from "./delivery-log";

/** Of how many events of a payment the deliveries are read at once, the newest. */
export const MAX_EVENTS_READ = 20;

/** A delivery of a payment's event, with the endpoint that it goes to. */
export interface PaymentDelivery extends Delivery {
  readonly endpoint_id: number;
  readonly url: string;
}

type FoundPaymentDelivery = FoundDelivery & Pick<PaymentDelivery, "endpoint_id" | "url">;

/**
 * The deliveries of a payment's newest events to the endpoints that are not deleted, newest event first, each with its newest
 * attempt; null when the merchant has no such payment. One round trip, which reads a delivery and an event for each of 20 events
 * and each endpoint, of which a merchant has 20 at most, and the rows of the merchant's deleted endpoints.
 */
export async function listPaymentDeliveries(
  db: Database,
  merchantId: number,
  paymentId: number,
): Promise<PaymentDelivery[] | null> {
  const isIt = sql`payments.id = ${paymentId} AND payments.merchant_id = ${merchantId}`;
  const { rows } = await db.batch<[{ id: number }, FoundPaymentDelivery]>([
    sql`SELECT id FROM payments WHERE ${isIt}`,
    // CROSS JOIN keeps the order of its tables.
    sql`
  SELECT ${deliveryColumns(1)}, endpoint.id AS endpoint_id, endpoint.url
  FROM payments CROSS JOIN webhook_endpoints AS endpoint ON endpoint.merchant_id = payments.merchant_id AND deleted_at IS NULL
  CROSS JOIN json_each(event_positions) AS place ON place.key >= json_array_length(event_positions) - ${MAX_EVENTS_READ}
  CROSS JOIN webhook_deliveries AS delivery ON delivery.endpoint_id = endpoint.id AND delivery.position = place.value
  CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id AND event.position = delivery.position
  WHERE ${isIt} ORDER BY delivery.position ${raw("DESC")}, endpoint.id`,
  ]);
  const [[payment], found] = rows;
  return payment ? found.map((row) => ({ ...row, ...readDelivery(row) })) : null;
}
