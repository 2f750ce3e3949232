/** Every D1 statement about reconciliation items but those that open them: listing, and resolving. */
import { applyChange, type ChangeResult } from "../account/trail";
import type { Origin } from "../context";
import { type Page, pageOf, type Window } from "../http/pages";
import type { ItemState, ReconciliationItem, ReconciliationKind } from "../provider/reconciliation";
import type { Database } from "../storage/database";
import { columnsOf, join, raw, type Sql, sql } from "../storage/sql";

const COLUMNS = columnsOf<ReconciliationItem>({
  id: true,
  payment_id: true,
  account: true,
  kind: true,
  reference: true,
  detail: true,
  created_at: true,
  resolved_at: true,
  resolved_by: true,
  resolution: true,
});

export interface ItemFilters {
  readonly payment_id?: number | undefined;
  /** The id of a provider account. */
  readonly account?: string | undefined;
  readonly kind?: readonly ReconciliationKind[] | undefined;
  readonly state?: readonly ItemState[] | undefined;
}

/** As an index has it. */
const STATES: Readonly<Record<ItemState, string>> = {
  open: "resolved_at IS NULL",
  resolved: "resolved_at IS NOT NULL",
};

/** A page of a merchant's items, newest first. One round trip. */
export async function listItems(
  db: Database,
  merchantId: number,
  { payment_id, account, kind, state }: ItemFilters,
  window: Window,
): Promise<Page<ReconciliationItem>> {
  const { position, backward, limit } = window;
  const filters: Sql[] = [sql`merchant_id = ${merchantId}`];
  if (payment_id !== undefined) filters.push(sql`payment_id = ${payment_id}`);
  if (account !== undefined) filters.push(sql`account = ${account}`);
  if (kind !== undefined) filters.push(sql`kind IN (SELECT value FROM json_each(${JSON.stringify(kind)}))`);
  const [only, ...others] = state ?? [];
  if (only !== undefined && others.length === 0) filters.push(raw(STATES[only]));
  if (position) {
    filters.push(sql`(created_at, id) ${raw(backward ? ">" : "<")} (${position.at}, ${position.id})`);
  }
  const order = raw(backward ? "ASC" : "DESC");
  const found = await db.all<ReconciliationItem>(sql`
    SELECT ${COLUMNS} FROM reconciliation_items WHERE ${join(filters, " AND ")}
    ORDER BY created_at ${order}, id ${order} LIMIT ${limit + 1}`);
  return pageOf(window, found, ({ created_at, id }) => ({ at: created_at, id }));
}

/** Reads an item of a merchant; null when there is none. One round trip. */
export async function findItem(db: Database, merchantId: number, id: number): Promise<ReconciliationItem | null> {
  const [item] = await db.all<ReconciliationItem>(
    sql`SELECT ${COLUMNS} FROM reconciliation_items WHERE id = ${id} AND merchant_id = ${merchantId}`,
  );
  return item ?? null;
}

/** Resolves an item, and says why; `unchanged` when the merchant has none of this id that is open. One round trip. */
export function resolveItem(db: Database, origin: Origin, id: number, resolution: string): Promise<ChangeResult> {
  const { merchantId, keyId, now } = origin;
  return applyChange(db, origin, null, {
    type: "reconciliation_item.resolved",
    first: (mayApply) => sql`
  UPDATE reconciliation_items SET resolved_at = ${now}, resolved_by = ${keyId}, resolution = ${resolution}
  WHERE id = ${id} AND merchant_id = ${merchantId} AND resolved_at IS NULL AND ${mayApply}`,
    subject: sql`SELECT merchant_id, CAST(id AS TEXT) FROM reconciliation_items WHERE id = ${id}`,
    data: { resolution },
  });
}
