/** The log of an endpoint's deliveries: the statements that read it. */
import type { InferSelectModel } from "drizzle-orm";
import type { EventName } from "../outbox/event-id";
import type { EventType } from "../outbox/event-types";
import type { DeliveryState } from "../outbox/states";
import type { webhookDeliveries } from "../outbox/tables";
import { firstFrom } from "../payment/feed";
import type { Database } from "../storage/database";
import { join, raw, type Sql, sql } from "../storage/sql";
import type { EndpointId } from "./deliveries";
import type { Attempt } from "./send";

type DeliveryRow = InferSelectModel<typeof webhookDeliveries>;

/** A delivery in the log of an endpoint, with the event that it is of. */
export interface Delivery extends Omit<DeliveryRow, "attempts" | "endpoint_id" | "failures"> {
  readonly merchant_id: number;
  readonly payment_id: number | null;
  readonly sequence: number | null;
  readonly type: EventType;
  /** Oldest first. */
  readonly attempts: readonly Attempt[];
}

/** How many attempts of a delivery a page of the log has, the newest. */
export const MAX_ATTEMPTS_IN_PAGE = 10;

/** The columns of a delivery with its newest attempts, of tables that are called `delivery` and `event`. */
export const deliveryColumns = (attempts: number): Sql => sql`${DELIVERY}, (SELECT json_group_array(json(value))
    FROM json_each(delivery.attempts) WHERE key >= json_array_length(delivery.attempts) - ${attempts}) AS attempts`;

const DELIVERY = raw(`
  delivery.position, delivery.state, delivery.next_attempt_at, delivery.attempted, delivery.created_at,
  event.merchant_id, event.payment_id, event.sequence, event.type`);

export type FoundDelivery = Omit<Delivery, "attempts"> & { attempts: string };

export function readDelivery(row: FoundDelivery): Delivery {
  return { ...row, attempts: JSON.parse(row.attempts) };
}

export interface DeliveryQuery {
  /** Only deliveries of events before this position. */
  readonly before: number | null;
  readonly limit: number;
  readonly states?: readonly DeliveryState[] | undefined;
  readonly types?: readonly EventType[] | undefined;
  readonly paymentId?: number | undefined;
  /** Only deliveries of events from this time on, in milliseconds. */
  readonly from?: number | undefined;
  /** Only deliveries of events up to this time, in milliseconds. */
  readonly to?: number | undefined;
}

/** How many deliveries, for each one asked for, are looked at where a filter is given. */
export const MAX_DELIVERIES_SCANNED_PER_RESULT = 10;

/**
 * The deliveries of an endpoint, newest event first, each with its newest attempts, and the position to go on before;
 * null at the end. Where a filter is given there may be fewer than asked for, and more to come; a range of time is
 * none, for its ends are positions. One round trip.
 */
export async function listDeliveries(
  db: Database,
  { merchantId, endpointId }: EndpointId,
  { before, limit, states, types, paymentId, from, to }: DeliveryQuery,
): Promise<{ deliveries: Delivery[]; end: number | null }> {
  const filters: Sql[] = [];
  if (states) filters.push(sql`delivery.state IN (SELECT value FROM json_each(${JSON.stringify(states)}))`);
  if (types) filters.push(sql`event.type IN (SELECT value FROM json_each(${JSON.stringify(types)}))`);
  if (paymentId !== undefined) filters.push(sql`event.payment_id = ${paymentId}`);
  const scanned = filters.length > 0 ? limit * MAX_DELIVERIES_SCANNED_PER_RESULT : limit;
  const range: Sql[] = [sql`endpoint_id = ${endpointId}`];
  if (from !== undefined) range.push(sql`position >= ${firstFrom(merchantId, from)}`);
  const inRange = join(range, " AND ");
  const end = [sql`position < ${before ?? Number.MAX_SAFE_INTEGER}`];
  if (to !== undefined) end.push(sql`position < ${firstFrom(merchantId, to + 1)}`);
  const seen = sql`
    SELECT * FROM webhook_deliveries WHERE ${inRange} AND ${join(end, " AND ")} ORDER BY position DESC LIMIT ${scanned}`;
  const { rows } = await db.batch<FoundDelivery | { last: number | null; oldest: number | null }>([
    sql`
  SELECT ${deliveryColumns(MAX_ATTEMPTS_IN_PAGE)} FROM (${seen}) AS delivery
  CROSS JOIN events AS event ON event.merchant_id = ${merchantId} AND event.position = delivery.position
  ${filters.length > 0 ? sql`WHERE ${join(filters, " AND ")}` : raw("")}
  ORDER BY delivery.position DESC LIMIT ${limit}`,
    sql`
  SELECT min(position) AS last, (SELECT min(position) FROM webhook_deliveries WHERE ${inRange}) AS oldest
  FROM (${seen})`,
  ]);
  const deliveries = (rows[0] ?? []).filter((row) => "state" in row).map(readDelivery);
  const walked = rows[1]?.find((row) => "oldest" in row);
  const last = deliveries.length === limit ? (deliveries.at(-1)?.position ?? null) : (walked?.last ?? null);
  return { deliveries, end: last !== null && last !== walked?.oldest ? last : null };
}

/** The delivery of an event to an endpoint, with all attempts that are kept; null when there is none. One round trip. */
export async function findDelivery(
  db: Database,
  { merchantId, endpointId }: EndpointId,
  name: EventName,
): Promise<Delivery | null> {
  if ("merchantId" in name && name.merchantId !== merchantId) return null;
  const [place, isNamed] =
    "paymentId" in name
      ? [
          sql`(SELECT event_positions ->> ${`$[${name.sequence - 1}]`} AS position FROM payments
      WHERE id = ${name.paymentId} AND merchant_id = ${merchantId}) AS place`,
          raw("event.payment_id IS NOT NULL"),
        ]
      : [sql`(SELECT ${name.position} AS position) AS place`, raw("event.payment_id IS NULL")];
  const [row] = await db.all<FoundDelivery>(sql`
  SELECT ${DELIVERY}, delivery.attempts FROM ${place}
  JOIN webhook_deliveries AS delivery ON delivery.endpoint_id = ${endpointId} AND delivery.position = place.position
  JOIN events AS event ON event.merchant_id = ${merchantId} AND event.position = delivery.position
  WHERE ${isNamed}`);
  return row ? readDelivery(row) : null;
}
