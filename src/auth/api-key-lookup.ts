/** The D1 statements by which a key is found and its use is noted. */
import type { InferSelectModel } from "drizzle-orm";
import { isScope, type Scope } from "../scopes";
import type { Database } from "../storage/database";
import type { apiKeys } from "./tables";

export type ApiKeyRow = InferSelectModel<typeof apiKeys>;

/** What is stored of a key; times in milliseconds. */
export interface ApiKeyRecord extends Omit<ApiKeyRow, "scopes"> {
  readonly scopes: readonly Scope[];
}

const COLUMNS: Readonly<Record<keyof ApiKeyRow, true>> = {
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
export const API_KEY_COLUMNS = Object.keys(COLUMNS).join(", ");

/** A scope that this version does not know, as after a rollback, allows nothing. */
export function readRow(row: ApiKeyRow): ApiKeyRecord {
  const scopes: unknown = JSON.parse(row.scopes);
  return { ...row, scopes: Array.isArray(scopes) ? scopes.filter(isScope) : [] };
}

/** The key with this public id: how a merchant is found out in the first place. One round trip. */
export async function findApiKeyById(db: Database, id: string): Promise<ApiKeyRecord | null> {
  const [row] = await db.all<ApiKeyRow>(db.prepare(`SELECT ${API_KEY_COLUMNS} FROM api_keys WHERE id = ?`).bind(id));
  return row ? readRow(row) : null;
}

/** Notes that a key was used. */
export async function recordApiKeyUse(db: D1Database, id: string, now: number): Promise<void> {
  await db.prepare("UPDATE api_keys SET last_used_at = ? WHERE id = ?").bind(now, id).run();
}
