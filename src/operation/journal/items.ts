/** Opening reconciliation items: the statements, for a batch that has found something. */
import type { ReconciliationItem } from "../../provider/reconciliation";
import { raw, type Sql, sql } from "../../storage/sql";

/** What was found, and of which payment and account. */
export type FoundItem = Pick<ReconciliationItem, "payment_id" | "account" | "kind" | "reference" | "detail">;

const isIt = (merchantId: number, { payment_id, kind, reference }: FoundItem): Sql =>
  sql`merchant_id = ${merchantId} AND payment_id = ${payment_id} AND kind = ${kind} AND reference = ${reference}`;

/**
 * Opens an item; one that a person has resolved is open again where something else was found since. Running it again does nothing.
 *
 * @param time when it was found, as SQL
 * @param condition under which it is opened
 */
export function storeItem(merchantId: number, item: FoundItem, time: Sql, condition: Sql): Sql {
  const { payment_id, account, kind, reference, detail } = item;
  return sql`
    INSERT INTO reconciliation_items (merchant_id, payment_id, account, kind, reference, detail, created_at)
    SELECT ${merchantId}, ${payment_id}, ${account}, ${kind}, ${reference}, ${detail}, ${time} WHERE ${condition}
    ${OPEN_AGAIN}`;
}

/** The same of many items, in one statement. */
export const storeItems = (merchantId: number, items: readonly FoundItem[], time: Sql, condition: Sql): Sql => sql`
    INSERT INTO reconciliation_items (merchant_id, payment_id, account, kind, reference, detail, created_at)
    SELECT ${merchantId}, value ->> 'payment_id', value ->> 'account', value ->> 'kind', value ->> 'reference', value ->> 'detail', ${time}
    FROM json_each(${JSON.stringify(items)}) WHERE ${condition}
    ${OPEN_AGAIN}`;

const OPEN_AGAIN = raw(`ON CONFLICT (merchant_id, payment_id, kind, reference) DO UPDATE SET
      detail = excluded.detail, account = excluded.account, resolved_at = NULL, resolved_by = NULL, resolution = NULL
    WHERE resolved_at IS NOT NULL AND detail <> excluded.detail`);

/**
 * The data of the event that an item is opened with, as SQL: the item with its id. It stands before `storeItem` in the same batch, which
 * gives a new item the next id.
 */
export function dataWithItem(merchantId: number, data: object, item: FoundItem, time: Sql): Sql {
  const { payment_id: _, ...said } = item;
  const known = sql`FROM reconciliation_items WHERE ${isIt(merchantId, item)}`;
  return sql`json_set(${JSON.stringify({ ...data, item: said })},
      '$.item.id', coalesce((SELECT id ${known}), (SELECT coalesce(max(id), 0) + 1 FROM reconciliation_items)),
      '$.item.created_at', coalesce((SELECT created_at ${known}), CAST(${time} AS INTEGER)))`;
}
