/** Every D1 statement about API keys. */
import type { IssuedApiKey } from "../auth/api-key";
import { API_KEY_COLUMNS, type ApiKeyRecord, type ApiKeyRow, findApiKeyById, readRow } from "../auth/api-key-lookup";
import { ADMINISTRATOR_MERCHANT, type Origin } from "../context";
import { type Page, pageOf, type Window } from "../http/pages";
import { insertDisabledDeliveries, insertDisabledEvents, isOwnedDelivery } from "../outbox/endpoint-events";
import type { OwnedDelivery } from "../outbox/outbox";
import type { Scope } from "../scopes";
import type { Database } from "../storage/database";
import { sha256 } from "../storage/digest";
import type { Idempotency } from "../storage/idempotency";
import { raw, type Sql, sql } from "../storage/sql";
import { applyChange, type ChangeResult, recordedAt } from "./trail";

/** Whose keys are meant: one merchant's, or, for an administrator, any merchant's. */
export type MerchantFilter = number | "any merchant";

/** How many keys of a merchant may be active at once: what a stolen key can mint has an end. */
export const MAX_ACTIVE_API_KEYS = 100;

/** Reads a key; null when they have none of this id. One round trip. */
export async function findApiKey(db: Database, whose: MerchantFilter, id: string): Promise<ApiKeyRecord | null> {
  const key = await findApiKeyById(db, id);
  return key && (whose === "any merchant" || key.merchant_id === whose) ? key : null;
}

/** A page of a merchant's keys, newest first. One round trip. */
export async function listApiKeys(db: Database, merchantId: number, window: Window): Promise<Page<ApiKeyRecord>> {
  const { position, backward, limit } = window;
  const [compare, order] = backward ? [raw(">"), raw("ASC")] : [raw("<"), raw("DESC")];
  const within = position ? sql`AND (created_at, id) ${compare} (${position.at}, ${String(position.id)})` : raw("");
  const found = await db.all<ApiKeyRow>(sql`
  SELECT ${API_KEY_COLUMNS} FROM api_keys WHERE merchant_id = ${merchantId} ${within}
  ORDER BY created_at ${order}, id ${order} LIMIT ${limit + 1}`);
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
  | { tag: "made"; record: ApiKeyRecord; key: string }
  | Exclude<ChangeResult, { tag: "changed" | "unchanged" }>
  /** The merchant that there is has as many active keys as it may have. */
  | { tag: "too_many" }
  /** There is no such merchant, or no such key that is active. */
  | { tag: "not_found" };

const isKeyRow = (row: object): row is ApiKeyRow => "digest" in row;

/** The row that a change has inserted, read again only if its answer was lost. */
async function insertedRow(db: Database, { rows, subject }: { rows: readonly object[]; subject: string }) {
  const row = rows.find(isKeyRow);
  const record = row ? readRow(row) : await findApiKeyById(db, subject);
  if (!record) throw new Error("A key that was made is not there");
  return record;
}

const subjectOf = (id: string) => sql`SELECT merchant_id, id FROM api_keys WHERE id = ${id}`;

const whoseKeys = (whose: MerchantFilter): Sql =>
  whose === "any merchant" ? raw("true") : sql`merchant_id = ${whose}`;

/** The key that acts, as `created_by` and `url_set_by` name it: the administrator's secret and nobody in open mode have no row. */
export const creatorOf = ({ keyId, merchantId }: Origin): string | null =>
  merchantId === ADMINISTRATOR_MERCHANT ? null : keyId;

/** A merchant's keys that are active, as the index `api_keys_active` has them. */
const countActive = (merchant: Sql, now: number) => sql`(SELECT count(*) FROM api_keys AS active
    WHERE active.merchant_id = ${merchant} AND active.revoked_at IS NULL
    AND ifnull(active.expires_at, 9223372036854775807) > ${now})`;

/** Creates a key. One round trip, two when it was refused. */
export async function createApiKey(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  { id, key }: IssuedApiKey,
  { merchantId, name, scopes, expiresAt }: NewApiKey,
): Promise<CreatedApiKey> {
  const { now } = origin;
  const digest = await sha256(key);
  const changed = await applyChange(db, origin, idempotency, {
    type: "api_key.created",
    first: (mayApply) => sql`
  INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_by, created_at, expires_at)
  SELECT ${id}, id, ${name}, ${JSON.stringify(scopes)}, ${digest}, ${creatorOf(origin)}, ${now}, ${expiresAt}
  FROM merchants WHERE id = ${merchantId} AND ${mayApply}
  AND ${countActive(sql`${merchantId}`, now)} < ${MAX_ACTIVE_API_KEYS} RETURNING ${API_KEY_COLUMNS}`,
    subject: subjectOf(id),
    data: { name, scopes, expires_at: expiresAt },
  });
  if (changed.tag === "changed") return { tag: "made", record: await insertedRow(db, changed), key };
  if (changed.tag !== "unchanged") return changed;
  const merchants = await db.all(sql`SELECT 1 FROM merchants WHERE id = ${merchantId}`);
  return { tag: merchants.length > 0 ? "too_many" : "not_found" };
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
    first: (mayApply) =>
      sql`UPDATE api_keys SET name = ${name} WHERE id = ${id} AND ${whoseKeys(whose)} AND name <> ${name} AND ${mayApply}`,
    subject: subjectOf(id),
    data: { name },
  });
}

export type RevokeResult =
  /**
   * The public ids of the keys that were revoked, its descendants among them, and the deliveries of what was disabled; none
   * when the answer was lost.
   */
  { tag: "revoked"; ids: string[]; deliveries: readonly OwnedDelivery[] } | Exclude<ChangeResult, { tag: "changed" }>;

const isRevoked = (row: object): row is { revoked: string } => "revoked" in row;

/**
 * Revokes a key for good, and with it every key that it has created, those that these have, and so on, and disables the
 * webhook endpoints to which one of them gave their URL; each has its event, in the trail and in the feed, where the
 * merchant's other endpoints receive an event of it. What is open of those that are disabled the sweep cancels.
 * `unchanged` when they have none of this id, or it is revoked. One round trip.
 */
export async function revokeApiKey(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  whose: MerchantFilter,
  id: string,
): Promise<RevokeResult> {
  const { merchantId, keyId, requestId, commitId, now } = origin;
  // By way of those that have expired or were rolled, too. What one that is revoked has created was revoked with it, and it
  // has created nothing since. UNION ends a circle.
  const descendants = sql`
  WITH RECURSIVE descendants (id) AS (
    SELECT id FROM api_keys WHERE created_by = ${id} AND revoked_at IS NULL
    UNION SELECT child.id FROM descendants
      CROSS JOIN api_keys AS child ON child.created_by = descendants.id AND child.revoked_at IS NULL
  )`;
  const hasTheirUrl = sql`url_set_by IN (SELECT ${id} UNION ALL SELECT id FROM descendants) AND deleted_at IS NULL`;
  const servesThem = sql`${hasTheirUrl} AND disabled_at IS NULL`;
  const changed = await applyChange(db, origin, idempotency, {
    type: "api_key.revoked",
    first: (mayApply) => sql`
  UPDATE api_keys SET revoked_at = ${now} WHERE id = ${id} AND ${whoseKeys(whose)} AND revoked_at IS NULL AND ${mayApply}`,
    subject: subjectOf(id),
    data: {},
    afterwards: (isApplied) => [
      sql`${descendants}
  INSERT INTO account_events (commit_id, actor_merchant_id, type, data, key_id, request_id, created_at, merchant_id, subject)
  SELECT ${commitId} || ' endpoint ' || id, ${merchantId}, 'webhook_endpoint.disabled',
    json_object('reason', 'key_revoked', 'revoked_key', url_set_by), ${keyId}, ${requestId},
    ${recordedAt(raw("webhook_endpoints.merchant_id"), now)}, merchant_id, CAST(id AS TEXT)
  FROM webhook_endpoints WHERE ${servesThem} AND ${isApplied}`,
      sql`${descendants} ${insertDisabledEvents(sql`${servesThem} AND ${isApplied}`, "key_revoked", origin)}`,
      sql`${descendants}
  UPDATE webhook_endpoints
  SET disabled_at = ${now}, disabled_reason = 'key_revoked', updated_at = max(updated_at, ${now})
  WHERE ${servesThem} AND ${isApplied}`,
      sql`${descendants} ${insertDisabledDeliveries(
        sql`SELECT id, merchant_id FROM webhook_endpoints WHERE ${hasTheirUrl} AND disabled_at IS NOT NULL`,
        origin,
      )}`,
      sql`${descendants}
  INSERT INTO account_events (commit_id, actor_merchant_id, type, data, key_id, request_id, created_at, merchant_id, subject)
  SELECT ${commitId} || ' ' || id, ${merchantId}, 'api_key.revoked', ${JSON.stringify({ revoked_with: id })}, ${keyId},
    ${requestId}, ${recordedAt(raw("api_keys.merchant_id"), now)}, merchant_id, id
  FROM api_keys WHERE id IN (SELECT id FROM descendants) AND revoked_at IS NULL AND ${isApplied}`,
      sql`${descendants}
  UPDATE api_keys SET revoked_at = ${now}
  WHERE id IN (SELECT id FROM descendants) AND revoked_at IS NULL AND ${isApplied} RETURNING id AS revoked`,
    ],
  });
  if (changed.tag !== "changed") return changed;
  const ids = [id, ...changed.others.filter(isRevoked).map(({ revoked }) => revoked)];
  return { tag: "revoked", ids, deliveries: changed.others.filter(isOwnedDelivery) };
}

/**
 * Makes a key that takes the place of another, which stays valid for `overlap` more milliseconds, or less
 * if it expires before that. One round trip, two when it was refused.
 */
export async function rollApiKey(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  whose: MerchantFilter,
  made: IssuedApiKey,
  { id, overlap, expiresAt }: { id: string; overlap: number; expiresAt: number | null },
): Promise<CreatedApiKey> {
  const { now } = origin;
  const end = now + overlap;
  const digest = await sha256(made.key);
  const isActive = sql`id = ${id} AND ${whoseKeys(whose)} AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ${now})`;
  // Without an overlap the old key makes room for the new one.
  const room = sql`${MAX_ACTIVE_API_KEYS + (overlap === 0 ? 1 : 0)}`;
  const changed = await applyChange(db, origin, idempotency, {
    type: "api_key.rolled",
    first: (mayApply) => sql`
  INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_by, created_at, expires_at)
  SELECT ${made.id}, merchant_id, name, scopes, ${digest}, ${creatorOf(origin)}, ${now}, ${expiresAt}
  FROM api_keys AS old WHERE ${isActive} AND ${mayApply} AND ${countActive(raw("old.merchant_id"), now)} < ${room}
  RETURNING ${API_KEY_COLUMNS}`,
    next: [
      sql`UPDATE api_keys SET expires_at = min(coalesce(expires_at, ${end}), ${end}) WHERE id = ${id} AND changes() = 1`,
    ],
    subject: subjectOf(made.id),
    data: { rolled: id, rolled_expires_at: end, expires_at: expiresAt },
  });
  if (changed.tag === "changed") return { tag: "made", record: await insertedRow(db, changed), key: made.key };
  if (changed.tag !== "unchanged") return changed;
  const active = await db.all(sql`SELECT 1 FROM api_keys WHERE ${isActive}`);
  return { tag: active.length > 0 ? "too_many" : "not_found" };
}
