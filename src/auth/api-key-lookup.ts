/** The D1 statements by which a key is found and its use is noted. */
import type { InferSelectModel } from "drizzle-orm";
import { isScope, type Scope } from "../scopes";
import type { Database } from "../storage/database";
import { columnsOf, sql } from "../storage/sql";
import type { apiKeys } from "./tables";

export type ApiKeyRow = InferSelectModel<typeof apiKeys>;

/** What is stored of a key; times in milliseconds. */
export interface ApiKeyRecord extends Omit<ApiKeyRow, "scopes"> {
  readonly scopes: readonly Scope[];
}

const COLUMNS: Parameters<typeof columnsOf<ApiKeyRow>>[0] = {
  id: true,
  merchant_id: true,
  name: true,
  scopes: true,
  digest: true,
  created_by: true,
  created_at: true,
  expires_at: true,
  revoked_at: true,
  last_used_at: true,
};
export const API_KEY_COLUMNS = columnsOf<ApiKeyRow>(COLUMNS);
const QUALIFIED_COLUMNS = columnsOf<ApiKeyRow>(COLUMNS, "api_keys");

/** A scope that this version does not know, as after a rollback, allows nothing. */
export function readRow<Row extends ApiKeyRow>(row: Row): Omit<Row, "scopes"> & { readonly scopes: readonly Scope[] } {
  const scopes: unknown = JSON.parse(row.scopes);
  return { ...row, scopes: Array.isArray(scopes) ? scopes.filter(isScope) : [] };
}

/** The key with this public id. One round trip. */
export async function findApiKeyById(db: Database, id: string): Promise<ApiKeyRecord | null> {
  const [row] = await db.all<ApiKeyRow>(sql`SELECT ${API_KEY_COLUMNS} FROM api_keys WHERE id = ${id}`);
  return row ? readRow(row) : null;
}

/** A key that acts, with what its merchant is like. */
export interface ActingApiKey extends ApiKeyRecord {
  readonly merchant_disabled_at: number | null;
}

/** The key that a request is made with: how a merchant is found out in the first place. One round trip. */
export async function findActingApiKey(db: Database, id: string): Promise<ActingApiKey | null> {
  const [row] = await db.all<ApiKeyRow & { merchant_disabled_at: number | null }>(sql`
  SELECT ${QUALIFIED_COLUMNS}, merchants.disabled_at AS merchant_disabled_at
  FROM api_keys CROSS JOIN merchants ON merchants.id = api_keys.merchant_id WHERE api_keys.id = ${id}`);
  return row ? readRow(row) : null;
}

/** Notes that a key was used. */
export async function recordApiKeyUse(db: D1Database, id: string, now: number): Promise<void> {
  await db.prepare("UPDATE api_keys SET last_used_at = ? WHERE id = ?").bind(now, id).run();
}
