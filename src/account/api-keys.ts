/** Every D1 statement about API keys. */
import { makeApiKey } from "../auth/api-key";
import { API_KEY_COLUMNS, type ApiKeyRecord, type ApiKeyRow, findApiKeyById, readRow } from "../auth/api-key-lookup";
import type { Origin } from "../context";
import { type Page, pageOf, type Window } from "../http/pages";
import type { Scope } from "../scopes";
import type { Database } from "../storage/database";
import { sha256 } from "../storage/digest";
import type { Idempotency } from "../storage/idempotency";
import { applyChange, type ChangeResult, NOT_YET_APPLIED } from "./trail";

/** Whose keys are meant: one merchant's, or, for an administrator, any merchant's. */
export type MerchantFilter = number | "any merchant";

/** Reads a key; null when they have none of this id. One round trip. */
export async function findApiKey(db: Database, whose: MerchantFilter, id: string): Promise<ApiKeyRecord | null> {
  const key = await findApiKeyById(db, id);
  return key && (whose === "any merchant" || key.merchant_id === whose) ? key : null;
}

/** A page of a merchant's keys, newest first. One round trip. */
export async function listApiKeys(db: Database, merchantId: number, window: Window): Promise<Page<ApiKeyRecord>> {
  const { position, backward, limit } = window;
  const [compare, order] = backward ? [">", "ASC"] : ["<", "DESC"];
  const where = position ? `AND (created_at, id) ${compare} (?3, ?4)` : "";
  const sql = `
  SELECT ${API_KEY_COLUMNS} FROM api_keys WHERE merchant_id = ?1 ${where} ORDER BY created_at ${order}, id ${order} LIMIT ?2`;
  const place = position ? [position.at, String(position.id)] : [];
  const found = await db.all<ApiKeyRow>(db.prepare(sql).bind(merchantId, limit + 1, ...place));
  return pageOf(window, found.map(readRow), ({ id, created_at }) => ({ at: created_at, id }));
}

export interface NewApiKey {
  readonly merchantId: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** In milliseconds; null for never. */
  readonly expiresAt: number | null;
}

export type CreatedApiKey =
  /** The key itself is known to this request alone. */
  { tag: "made"; record: ApiKeyRecord; key: string } | Exclude<ChangeResult, { tag: "changed" }>;

const isKeyRow = (row: object): row is ApiKeyRow => "digest" in row;

/** What a change has made, read again only if its answer was lost. */
async function toCreatedApiKey(db: Database, changed: ChangeResult, key: string): Promise<CreatedApiKey> {
  if (changed.tag !== "changed") return changed;
  const row = changed.rows.find(isKeyRow);
  const record = row ? readRow(row) : await findApiKeyById(db, changed.subject);
  if (!record) throw new Error("A key that was made is not there");
  return { tag: "made", record, key };
}

const SUBJECT = "SELECT merchant_id, id FROM api_keys WHERE id = ?10";

/** Creates a key; `unchanged` when there is no such merchant. One round trip. */
export async function createApiKey(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  { merchantId, name, scopes, expiresAt }: NewApiKey,
): Promise<CreatedApiKey> {
  const { id, key } = makeApiKey();
  const changed = await applyChange(db, origin, idempotency, {
    type: "api_key.created",
    first: {
      sql: `
  INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_at, expires_at)
  SELECT ?4, id, ?6, ?7, ?8, ?9, ?10 FROM merchants WHERE id = ?5 AND ${NOT_YET_APPLIED} RETURNING ${API_KEY_COLUMNS}`,
      values: [id, merchantId, name, JSON.stringify(scopes), await sha256(key), origin.now, expiresAt],
    },
    subject: { sql: SUBJECT, values: [id] },
    data: { name, scopes, expires_at: expiresAt },
  });
  return toCreatedApiKey(db, changed, key);
}

/** Renames a key; `unchanged` when they have none of this id, or that is its name. One round trip. */
export function renameApiKey(
  db: Database,
  origin: Origin,
  whose: MerchantFilter,
  id: string,
  name: string,
): Promise<ChangeResult> {
  return applyChange(db, origin, null, {
    type: "api_key.renamed",
    first: {
      sql: `UPDATE api_keys SET name = ?4 WHERE id = ?5 AND merchant_id = coalesce(?6, merchant_id) AND name <> ?4 AND ${NOT_YET_APPLIED}`,
      values: [name, id, merchantOf(whose)],
    },
    subject: { sql: SUBJECT, values: [id] },
    data: { name },
  });
}

/** Revokes a key for good; `unchanged` when they have none of this id, or it is revoked. One round trip. */
export function revokeApiKey(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  whose: MerchantFilter,
  id: string,
): Promise<ChangeResult> {
  return applyChange(db, origin, idempotency, {
    type: "api_key.revoked",
    first: {
      sql: `
  UPDATE api_keys SET revoked_at = ?4
  WHERE id = ?5 AND merchant_id = coalesce(?6, merchant_id) AND revoked_at IS NULL AND ${NOT_YET_APPLIED}`,
      values: [origin.now, id, merchantOf(whose)],
    },
    subject: { sql: SUBJECT, values: [id] },
    data: {},
  });
}

/**
 * Makes a key that takes the place of another, which stays valid for `overlap` more milliseconds, or less
 * if it expires before that. `unchanged` when they have no valid key of this id. One round trip.
 */
export async function rollApiKey(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  whose: MerchantFilter,
  { id, overlap, expiresAt }: { id: string; overlap: number; expiresAt: number | null },
): Promise<CreatedApiKey> {
  const made = makeApiKey();
  const end = origin.now + overlap;
  const changed = await applyChange(db, origin, idempotency, {
    type: "api_key.rolled",
    first: {
      sql: `
  INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_at, expires_at)
  SELECT ?4, merchant_id, name, scopes, ?5, ?6, ?7 FROM api_keys
  WHERE id = ?8 AND merchant_id = coalesce(?9, merchant_id) AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > ?6) AND ${NOT_YET_APPLIED} RETURNING ${API_KEY_COLUMNS}`,
      values: [made.id, await sha256(made.key), origin.now, expiresAt, id, merchantOf(whose)],
    },
    next: [
      {
        sql: "UPDATE api_keys SET expires_at = min(coalesce(expires_at, ?1), ?1) WHERE id = ?2 AND changes() = 1",
        values: [end, id],
      },
    ],
    subject: { sql: SUBJECT, values: [made.id] },
    data: { rolled: id, rolled_expires_at: end, expires_at: expiresAt },
  });
  return toCreatedApiKey(db, changed, made.key);
}

function merchantOf(whose: MerchantFilter): number | null {
  return whose === "any merchant" ? null : whose;
}
