/** The log of an endpoint's deliveries: the statements that read it. */
import type { InferSelectModel } from "drizzle-orm";
import type { DeliveryState } from "../outbox/states";
import type { webhookDeliveries } from "../outbox/tables";
import type { EventType } from "../payment/lifecycle";
import type { Database } from "../storage/database";
import type { Attempt } from "./send";

type DeliveryRow = InferSelectModel<typeof webhookDeliveries>;

/** A delivery in the log of an endpoint, with the event that it is of. */
export interface Delivery extends Omit<DeliveryRow, "attempts" | "endpoint_id" | "failures"> {
  readonly payment_id: number;
  readonly sequence: number;
  readonly type: EventType;
  /** Oldest first. */
  readonly attempts: readonly Attempt[];
}

const DELIVERY = `
  delivery.position, delivery.state, delivery.next_attempt_at, delivery.attempted, delivery.attempts, delivery.created_at,
  event.payment_id, event.sequence, event.type`;
const JOIN_EVENT = "events AS event ON event.merchant_id = ?1 AND event.position = delivery.position";

type FoundDelivery = Omit<Delivery, "attempts"> & { attempts: string };

function readDelivery(row: FoundDelivery): Delivery {
  return { ...row, attempts: JSON.parse(row.attempts) };
}

export interface DeliveryQuery {
  /** Only deliveries of events before this position. */
  readonly before: number | null;
  readonly limit: number;
  readonly states?: readonly DeliveryState[] | undefined;
  readonly types?: readonly EventType[] | undefined;
  readonly paymentId?: number | undefined;
}

/** How many deliveries, for each one asked for, are looked at where a filter is given. */
export const MAX_DELIVERIES_SCANNED_PER_RESULT = 10;

/**
 * The deliveries of an endpoint, newest event first, and the position to go on before; null at the end. Where a
 * filter is given there may be fewer than asked for, and more to come. One round trip.
 */
export async function listDeliveries(
  db: Database,
  merchantId: number,
  endpointId: number,
  { before, limit, states, types, paymentId }: DeliveryQuery,
): Promise<{ deliveries: Delivery[]; end: number | null }> {
  const filters = [
    ...(states ? ["delivery.state IN (SELECT value FROM json_each(?5))"] : []),
    ...(types ? ["event.type IN (SELECT value FROM json_each(?6))"] : []),
    ...(paymentId === undefined ? [] : ["event.payment_id = ?7"]),
  ];
  const looked = filters.length > 0 ? limit * MAX_DELIVERIES_SCANNED_PER_RESULT : limit;
  const seen = `
    SELECT * FROM webhook_deliveries WHERE endpoint_id = ?2 AND position < ?3 ORDER BY position DESC LIMIT ${looked}`;
  const found = `
  SELECT ${DELIVERY} FROM (${seen}) AS delivery CROSS JOIN ${JOIN_EVENT}
  ${filters.length > 0 ? `WHERE ${filters.join(" AND ")}` : ""} ORDER BY delivery.position DESC LIMIT ?4`;
  const last = `
  SELECT min(position) AS last, (SELECT min(position) FROM webhook_deliveries WHERE endpoint_id = ?1) AS oldest
  FROM (SELECT position FROM webhook_deliveries WHERE endpoint_id = ?1 AND position < ?2 ORDER BY position DESC LIMIT ${looked})`;
  const from = before ?? Number.MAX_SAFE_INTEGER;
  const values = [
    merchantId,
    endpointId,
    from,
    limit,
    JSON.stringify(states ?? []),
    JSON.stringify(types ?? []),
    paymentId ?? 0,
  ];
  const used = paymentId !== undefined ? 7 : types ? 6 : states ? 5 : 4;
  const { rows } = await db.batch<FoundDelivery | { last: number | null; oldest: number | null }>([
    db.prepare(found).bind(...values.slice(0, used)),
    db.prepare(last).bind(endpointId, from),
  ]);
  const deliveries = (rows[0] ?? []).filter((row) => "state" in row).map(readDelivery);
  const walked = rows[1]?.find((row) => "oldest" in row);
  const end = deliveries.length === limit ? (deliveries.at(-1)?.position ?? null) : (walked?.last ?? null);
  return { deliveries, end: end !== null && end !== walked?.oldest ? end : null };
}

/** The delivery of an event to an endpoint; null when there is none. One round trip. */
export async function findDelivery(
  db: Database,
  merchantId: number,
  endpointId: number,
  { paymentId, sequence }: { paymentId: number; sequence: number },
): Promise<Delivery | null> {
  const sql = `
  SELECT ${DELIVERY} FROM payments
  JOIN webhook_deliveries AS delivery
    ON delivery.endpoint_id = ?2 AND delivery.position = event_positions ->> ?4
  JOIN ${JOIN_EVENT} WHERE payments.id = ?3 AND payments.merchant_id = ?1`;
  const [row] = await db.all<FoundDelivery>(
    db.prepare(sql).bind(merchantId, endpointId, paymentId, `$[${sequence - 1}]`),
  );
  return row ? readDelivery(row) : null;
}
