/** Every D1 statement about merchants. */
import type { InferSelectModel } from "drizzle-orm";
import type { merchants } from "../auth/tables";
import type { Origin } from "../context";
import { type Page, pageOf, type Window } from "../http/pages";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { applyChange, type ChangeResult, NOT_YET_APPLIED } from "./trail";

/** A merchant as its row has it; times in milliseconds. */
export type Merchant = InferSelectModel<typeof merchants>;

const COLUMNS = "id, name, disabled_at, created_at";
const SUBJECT = "SELECT id, CAST(id AS TEXT) FROM merchants WHERE id =";

/** Creates a merchant. One round trip. */
export function createMerchant(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  name: string,
): Promise<ChangeResult> {
  return applyChange(db, origin, idempotency, {
    type: "merchant.created",
    first: {
      sql: `INSERT INTO merchants (name, created_at) SELECT ?4, ?5 WHERE ${NOT_YET_APPLIED}`,
      values: [name, origin.now],
    },
    subject: { sql: `${SUBJECT} last_insert_rowid()`, values: [] },
    data: { name },
  });
}

/** Renames a merchant; `unchanged` when there is none, or that is its name. One round trip. */
export function renameMerchant(db: Database, origin: Origin, id: number, name: string): Promise<ChangeResult> {
  return applyChange(db, origin, null, {
    type: "merchant.renamed",
    first: {
      sql: `UPDATE merchants SET name = ?4 WHERE id = ?5 AND name <> ?4 AND ${NOT_YET_APPLIED}`,
      values: [name, id],
    },
    subject: { sql: `${SUBJECT} ?10`, values: [id] },
    data: { name },
  });
}

/** Reads a merchant; null when there is none. One round trip. */
export async function findMerchant(db: Database, id: number): Promise<Merchant | null> {
  const [merchant] = await db.all<Merchant>(db.prepare(`SELECT ${COLUMNS} FROM merchants WHERE id = ?`).bind(id));
  return merchant ?? null;
}

/** A page of merchants, newest first. One round trip. */
export async function listMerchants(db: Database, window: Window): Promise<Page<Merchant>> {
  const { position, backward, limit } = window;
  const [compare, order] = backward ? [">", "ASC"] : ["<", "DESC"];
  const where = position ? `WHERE id ${compare} ?2` : "";
  const sql = `SELECT ${COLUMNS} FROM merchants ${where} ORDER BY id ${order} LIMIT ?1`;
  const found = await db.all<Merchant>(db.prepare(sql).bind(limit + 1, ...(position ? [position.id] : [])));
  return pageOf(window, found, ({ id, created_at }) => ({ at: created_at, id }));
}
