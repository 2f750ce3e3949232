/** Every D1 statement about merchants. */
import type { InferSelectModel } from "drizzle-orm";
import type { merchants } from "../auth/tables";
import type { Origin } from "../context";
import { type Page, pageOf, type Window } from "../http/pages";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { columnsOf, raw, type Sql, sql } from "../storage/sql";
import { applyChange, type ChangeResult } from "./trail";

type MerchantRow = Omit<InferSelectModel<typeof merchants>, "default_account_id">;

/** A merchant as its row has it, times in milliseconds, and about how many bytes its payments take, without deliveries. */
export interface Merchant extends MerchantRow {
  readonly stored_bytes: number;
}

// The newest event has the sum of all that were stored up to it.
const MERCHANT = sql`${columnsOf<MerchantRow>({ id: true, name: true, disabled_at: true, created_at: true })},
  coalesce((SELECT stored_bytes FROM events WHERE merchant_id = merchants.id ORDER BY position DESC LIMIT 1), 0)
    AS stored_bytes`;

const subjectOf = (id: Sql) => sql`SELECT id, CAST(id AS TEXT) FROM merchants WHERE id = ${id}`;

/** Creates a merchant. One round trip. */
export function createMerchant(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  name: string,
): Promise<ChangeResult> {
  return applyChange(db, origin, idempotency, {
    type: "merchant.created",
    first: (mayApply) => sql`INSERT INTO merchants (name, created_at) SELECT ${name}, ${origin.now} WHERE ${mayApply}`,
    subject: subjectOf(raw("last_insert_rowid()")),
    data: { name },
  });
}

/** Renames a merchant; `unchanged` when there is none, or that is its name. One round trip. */
export function renameMerchant(db: Database, origin: Origin, id: number, name: string): Promise<ChangeResult> {
  return applyChange(db, origin, null, {
    type: "merchant.renamed",
    first: (mayApply) => sql`UPDATE merchants SET name = ${name} WHERE id = ${id} AND name <> ${name} AND ${mayApply}`,
    subject: subjectOf(sql`${id}`),
    data: { name },
  });
}

/**
 * Disables a merchant, whose keys are then refused and to whom nothing is sent, or enables it again, and its keys with
 * it. `unchanged` when there is none, or that is how it is. One round trip.
 */
export function setMerchantEnabled(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  id: number,
  enabled: boolean,
): Promise<ChangeResult> {
  return applyChange(db, origin, idempotency, {
    type: enabled ? "merchant.enabled" : "merchant.disabled",
    first: (mayApply) => sql`
  UPDATE merchants SET disabled_at = ${enabled ? null : origin.now}
  WHERE id = ${id} AND disabled_at IS ${raw(enabled ? "NOT NULL" : "NULL")} AND ${mayApply}`,
    subject: subjectOf(sql`${id}`),
    data: {},
    // An endpoint that was failing has its five days again: nothing was tried meanwhile.
    afterwards: (isApplied) =>
      enabled
        ? [
            sql`
  UPDATE webhook_endpoints SET failing_since = NULL
  WHERE merchant_id = ${id} AND failing_since IS NOT NULL AND ${isApplied}`,
          ]
        : [],
  });
}

/** Reads a merchant; null when there is none. One round trip. */
export async function findMerchant(db: Database, id: number): Promise<Merchant | null> {
  const [merchant] = await db.all<Merchant>(sql`SELECT ${MERCHANT} FROM merchants WHERE id = ${id}`);
  return merchant ?? null;
}

/** A page of merchants, newest first. One round trip. */
export async function listMerchants(db: Database, window: Window): Promise<Page<Merchant>> {
  const { position, backward, limit } = window;
  const [compare, order] = backward ? [raw(">"), raw("ASC")] : [raw("<"), raw("DESC")];
  const within = position ? sql`WHERE id ${compare} ${position.id}` : raw("");
  const found = await db.all<Merchant>(
    sql`SELECT ${MERCHANT} FROM merchants ${within} ORDER BY id ${order} LIMIT ${limit + 1}`,
  );
  return pageOf(window, found, ({ id, created_at }) => ({ at: created_at, id }));
}
