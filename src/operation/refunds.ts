/** Refunds as they are stored: the statements that find them. */
import { type Page, type Position, pageOf, type Window } from "../http/pages";
import { type Refund, type RefundEvent, readRefundId, refundId, refundOf } from "../payment/refund";
import type { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";
import { REFUND_STATUS } from "./journal/book";

/** A refund as it is found: its details as JSON. */
export interface FoundRefund extends RefundEvent {
  readonly details: string;
}

/**
 * The refunds of a payment, as SQL: of one that settles at once its events that have raised what is refunded, each with what it
 * has raised that by; of one at a provider its operations. The order of the tables is kept.
 */
const refundsOf = (merchantId: number, paymentId: number): Sql => sql`
  SELECT event.payment_id, event.sequence AS number, payments.currency, event.created_at, event.data -> '$.refund' AS details,
    event.data ->> '$.refunded_minor' - lag(event.data ->> '$.refunded_minor', 1, 0) OVER (ORDER BY event.sequence) AS amount_minor,
    event.idempotency_key
  FROM payments CROSS JOIN json_each(event_positions) AS place
  CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id AND event.position = place.value
  WHERE payments.id = ${paymentId} AND payments.merchant_id = ${merchantId} AND payments.provider = 'internal'
  AND event.data ->> '$.refund' IS NOT NULL
  UNION ALL
  SELECT operations.payment_id, number, payments.currency, operations.created_at, json_object('status', ${JSON.stringify(REFUND_STATUS)} ->> state,
    'failure', json(operations.failure), 'reason', reason, 'metadata', json(operations.metadata), 'updated_at',
    operations.updated_at) AS details, operations.amount_minor, operations.idempotency_key
  FROM operations CROSS JOIN payments ON payments.id = operations.payment_id AND payments.merchant_id = operations.merchant_id
  WHERE operations.merchant_id = ${merchantId} AND operations.payment_id = ${paymentId} AND kind = 'refund'`;

const REFUND_COLUMNS = raw("payment_id, number, amount_minor, currency, created_at, details");

export function readRefund({ details, ...event }: FoundRefund): Refund {
  return refundOf(event, JSON.parse(details));
}

/** The refund that a request with this key has made, now or before, as SQL: of several, since a key ends, the newest. */
export function refundOfKey(merchantId: number, paymentId: number, key: string): Sql {
  return sql`SELECT ${REFUND_COLUMNS} FROM (${refundsOf(merchantId, paymentId)})
    WHERE idempotency_key = ${key} ORDER BY number DESC LIMIT 1`;
}

/** The refund of this name; null when the merchant has none. One round trip. */
export async function findRefund(
  db: Database,
  merchantId: number,
  { payment_id, number }: Pick<Refund, "payment_id" | "number">,
): Promise<Refund | null> {
  const [found] = await db.all<FoundRefund>(
    sql`SELECT ${REFUND_COLUMNS} FROM (${refundsOf(merchantId, payment_id)}) WHERE number = ${number}`,
  );
  return found ? readRefund(found) : null;
}

/** A page of a payment's refunds, newest first; null when the merchant has no such payment. One round trip. */
export async function listRefunds(
  db: Database,
  merchantId: number,
  paymentId: number,
  window: Window,
): Promise<Page<Refund> | null> {
  const { position, backward, limit } = window;
  const place = placeIn(position);
  const beyond = place ? sql`WHERE number ${raw(backward ? ">" : "<")} ${place.number}` : sql``;
  const { rows } = await db.batch<[{ id: number }, FoundRefund]>([
    sql`SELECT id FROM payments WHERE id = ${paymentId} AND merchant_id = ${merchantId}`,
    sql`SELECT ${REFUND_COLUMNS} FROM (${refundsOf(merchantId, paymentId)}) ${beyond}
      ORDER BY number ${raw(backward ? "ASC" : "DESC")} LIMIT ${limit + 1}`,
  ]);
  const [[payment], refunds] = rows;
  return payment ? pageOf(window, refunds.map(readRefund), positionOf) : null;
}

/** The numbers of a payment's refunds are in the order of their times; the id names the payment as well. */
function positionOf(refund: Refund): Position {
  return { at: refund.created_at, id: refundId(refund) };
}

/** The refund at which a position of `listRefunds` is; null where there is none, or it is no refund's. */
export function placeIn(position: Position | null): Pick<Refund, "payment_id" | "number"> | null {
  return position && readRefundId(String(position.id));
}
