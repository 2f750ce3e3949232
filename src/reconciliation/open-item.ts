/** Opening the item of a payment by reconciliation: the item, the event that tells of it and its deliveries, in one batch. */
import type { Origin } from "../context";
import { dataWithItem, type FoundItem, storeItem } from "../operation/journal/items";
import { type DeliveryId, insertDeliveries } from "../outbox/outbox";
import { insertEvent, newestEvent } from "../payment/history";
import { commitTime } from "../storage/clock";
import type { Database } from "../storage/database";
import { type Sql, sql } from "../storage/sql";

/** What an item stores with its event, in bytes, about. */
const ITEM_BYTES = 700;

/** Whether an item is to be opened: there is none, or a person has resolved another finding. */
function isNeeded(merchantId: number, { payment_id, kind, reference, detail }: FoundItem): Sql {
  return sql`NOT EXISTS (SELECT 1 FROM reconciliation_items AS known WHERE known.merchant_id = ${merchantId}
    AND known.payment_id = ${payment_id} AND known.kind = ${kind} AND known.reference = ${reference}
    AND (known.resolved_at IS NULL OR known.detail = ${detail}))`;
}

/**
 * Opens an item of a payment, with an event as any other of the payment; nothing where it was found before. One round trip. Safe to run
 * twice.
 *
 * @returns the deliveries of the event
 */
export async function openItemOfPayment(db: Database, origin: Origin, item: FoundItem): Promise<readonly DeliveryId[]> {
  const { merchantId, commitId, now } = origin;
  const { payment_id: id } = item;
  const time = commitTime(now);
  const isIt = sql`id = ${id} AND merchant_id = ${merchantId}`;
  const isOwnCommit = sql`EXISTS (SELECT 1 FROM payments CROSS JOIN events ON events.merchant_id = payments.merchant_id
    AND events.position = event_positions ->> '$[#-1]' AND events.commit_id = ${commitId}
    WHERE payments.id = ${id} AND payments.merchant_id = ${merchantId})`;
  const { rows } = await db.batch<[never, never, never, DeliveryId]>([
    sql`UPDATE payments SET version = version + 1, updated_at = max(${time}, newest.created_at),
        event_positions = json_insert(event_positions, '$[#]', newest.position + 1)
      FROM ${newestEvent(merchantId)} WHERE ${isIt} AND ${isNeeded(merchantId, item)}`,
    insertEvent(sql`${isIt} AND changes() = 1`, origin, {
      type: "reconciliation.item_opened",
      data: dataWithItem(merchantId, {}, item, time),
      idempotencyKey: null,
      storedBytes: ITEM_BYTES,
    }),
    storeItem(merchantId, item, time, isOwnCommit),
    insertDeliveries(id, origin),
  ]);
  return rows[3];
}
