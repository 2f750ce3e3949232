/** Every D1 statement about webhook endpoints. */
import type { InferSelectModel } from "drizzle-orm";
import { applyChange, type ChangeResult, NOT_YET_APPLIED } from "../account/trail";
import type { Origin } from "../context";
import { type Page, pageOf, type Window } from "../http/pages";
import type { webhookEndpoints } from "../outbox/tables";
import type { EventType } from "../payment/lifecycle";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { columnsOf, join, raw, type Sql, sql } from "../storage/sql";
import { makeSecret } from "./signature";

type WebhookEndpointRow = InferSelectModel<typeof webhookEndpoints>;

/** An endpoint; times in milliseconds. */
export interface WebhookEndpoint extends Omit<WebhookEndpointRow, "types"> {
  /** The types that it receives; null for all, also those that come later. */
  readonly types: readonly EventType[] | null;
}

const COLUMNS = columnsOf<WebhookEndpointRow>({
  id: true,
  merchant_id: true,
  url: true,
  types: true,
  types_changed_at: true,
  secret: true,
  previous_secret: true,
  previous_secret_ends_at: true,
  failing_since: true,
  disabled_at: true,
  disabled_reason: true,
  deleted_at: true,
  created_at: true,
  updated_at: true,
});

/** How many endpoints a merchant may have: each is a row more for every event. */
export const MAX_ENDPOINTS = 20;

function readRow(row: WebhookEndpointRow): WebhookEndpoint {
  return { ...row, types: row.types === null ? null : JSON.parse(row.types) };
}

/** The secrets that sign at a time. */
export function secretsOf(
  {
    secret,
    previous_secret,
    previous_secret_ends_at,
  }: Pick<WebhookEndpointRow, "secret" | "previous_secret" | "previous_secret_ends_at">,
  now: number,
): string[] {
  const isValid = previous_secret !== null && previous_secret_ends_at !== null && now < previous_secret_ends_at;
  // A deleted endpoint has none, and is sent nothing.
  return [secret, isValid ? previous_secret : null].filter((each) => each !== null);
}

/** Reads an endpoint of a merchant; null when there is none, or, unless it is asked for, a deleted one. One round trip. */
export async function findWebhookEndpoint(
  db: Database,
  merchantId: number,
  id: number,
  { deleted = false }: { deleted?: boolean } = {},
): Promise<WebhookEndpoint | null> {
  const [row] = await db.all<WebhookEndpointRow>(
    sql`SELECT ${COLUMNS} FROM webhook_endpoints WHERE id = ${id} AND merchant_id = ${merchantId}`,
  );
  return row && (deleted || row.deleted_at === null) ? readRow(row) : null;
}

/** A page of a merchant's endpoints, newest first. One round trip. */
export async function listWebhookEndpoints(
  db: Database,
  merchantId: number,
  window: Window,
): Promise<Page<WebhookEndpoint>> {
  const { position, backward, limit } = window;
  const filters: Sql[] = [sql`merchant_id = ${merchantId} AND deleted_at IS NULL`];
  if (position) filters.push(backward ? sql`id > ${position.id}` : sql`id < ${position.id}`);
  const found = await db.all<WebhookEndpointRow>(sql`
  SELECT ${COLUMNS} FROM webhook_endpoints WHERE ${join(filters, " AND ")}
  ORDER BY id ${backward ? raw("ASC") : raw("DESC")} LIMIT ${limit + 1}`);
  return pageOf(window, found.map(readRow), ({ id, created_at }) => ({ at: created_at, id }));
}

const SUBJECT = "SELECT merchant_id, CAST(id AS TEXT) FROM webhook_endpoints WHERE id =";

/** An endpoint's own condition: the merchant's, and there. */
const OWNED_ENDPOINT = (id: string) => `id = ${id} AND merchant_id = ?2 AND deleted_at IS NULL`;

export type CreatedSecret =
  /** The secret itself is known to this request alone. */
  { tag: "made"; id: number; secret: string } | Exclude<ChangeResult, { tag: "changed" }>;

function toCreatedSecret(changed: ChangeResult, secret: string): CreatedSecret {
  return changed.tag === "changed" ? { tag: "made", id: Number(changed.subject), secret } : changed;
}

export interface NewWebhookEndpoint {
  readonly url: string;
  /** null for all, also those that come later. */
  readonly types: readonly EventType[] | null;
}

/** Creates an endpoint; `unchanged` when the merchant has as many as it may. One round trip. */
export async function createWebhookEndpoint(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  { url, types }: NewWebhookEndpoint,
): Promise<CreatedSecret> {
  const secret = makeSecret();
  const changed = await applyChange(db, origin, idempotency, {
    type: "webhook_endpoint.created",
    first: {
      sql: `
  INSERT INTO webhook_endpoints (merchant_id, url, types, secret, created_at, updated_at)
  SELECT ?2, ?4, ?5, ?6, ?7, ?7 WHERE ${NOT_YET_APPLIED}
  AND (SELECT count(*) FROM webhook_endpoints WHERE merchant_id = ?2 AND deleted_at IS NULL) < ${MAX_ENDPOINTS}`,
      values: [url, types && JSON.stringify(types), secret, origin.now],
    },
    subject: { sql: `${SUBJECT} last_insert_rowid()`, values: [] },
    data: { url, types },
  });
  return toCreatedSecret(changed, secret);
}

export interface WebhookEndpointChange {
  readonly url?: string | undefined;
  readonly types?: readonly EventType[] | null | undefined;
  readonly enabled?: boolean | undefined;
}

/** Changes an endpoint; `unchanged` when there is none, or that is how it is. One round trip. */
export function updateWebhookEndpoint(
  db: Database,
  origin: Origin,
  id: number,
  { url, types, enabled }: WebhookEndpointChange,
): Promise<ChangeResult> {
  return applyChange(db, origin, null, {
    type: "webhook_endpoint.updated",
    first: {
      sql: `
  UPDATE webhook_endpoints SET url = coalesce(?5, url), updated_at = max(updated_at, ?8), types = iif(?9, ?6, types),
    types_changed_at = iif(?9 AND types IS NOT ?6, max(coalesce(types_changed_at, 0) + 1, ?8), types_changed_at),
    disabled_at = CASE ?7 WHEN 1 THEN NULL WHEN 0 THEN coalesce(disabled_at, ?8) ELSE disabled_at END,
    disabled_reason = CASE ?7 WHEN 1 THEN NULL WHEN 0 THEN coalesce(disabled_reason, 'requested') ELSE disabled_reason END,
    failing_since = iif((?7 = 1 AND disabled_at IS NOT NULL) OR url <> coalesce(?5, url), NULL, failing_since)
  WHERE ${OWNED_ENDPOINT("?4")} AND ${NOT_YET_APPLIED}
  AND (url IS NOT coalesce(?5, url) OR (?9 AND types IS NOT ?6) OR (disabled_at IS NULL) IS NOT coalesce(?7, disabled_at IS NULL))`,
      values: [
        id,
        url ?? null,
        types ? JSON.stringify(types) : null,
        enabled === undefined ? null : Number(enabled),
        origin.now,
        Number(types !== undefined),
      ],
    },
    subject: { sql: `${SUBJECT} ?10`, values: [id] },
    data: { url, types, enabled },
  });
}

/** Deletes an endpoint and wipes its secrets; `unchanged` when there is none. Its deliveries stay. One round trip. */
export function deleteWebhookEndpoint(db: Database, origin: Origin, id: number): Promise<ChangeResult> {
  return applyChange(db, origin, null, {
    type: "webhook_endpoint.deleted",
    first: {
      sql: `
  UPDATE webhook_endpoints SET deleted_at = ?5, updated_at = max(updated_at, ?5),
    secret = NULL, previous_secret = NULL, previous_secret_ends_at = NULL
  WHERE ${OWNED_ENDPOINT("?4")} AND ${NOT_YET_APPLIED}`,
      values: [id, origin.now],
    },
    subject: { sql: `${SUBJECT} ?10`, values: [id] },
    data: {},
  });
}

/**
 * Gives an endpoint a new secret, beside which the old one signs for `overlap` more milliseconds; one that was
 * rolled before that signs no more. `unchanged` when there is no such endpoint. One round trip.
 */
export async function rollSecret(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  { id, overlap }: { id: number; overlap: number },
): Promise<CreatedSecret> {
  const secret = makeSecret();
  const end = origin.now + overlap;
  const changed = await applyChange(db, origin, idempotency, {
    type: "webhook_endpoint.rolled",
    first: {
      sql: `
  UPDATE webhook_endpoints SET secret = ?5, previous_secret = iif(?6 > ?7, secret, NULL),
    previous_secret_ends_at = iif(?6 > ?7, ?6, NULL), updated_at = max(updated_at, ?7)
  WHERE ${OWNED_ENDPOINT("?4")} AND ${NOT_YET_APPLIED}`,
      values: [id, secret, end, origin.now],
    },
    subject: { sql: `${SUBJECT} ?10`, values: [id] },
    data: { previous_secret_ends_at: end },
  });
  return toCreatedSecret(changed, secret);
}

/** Wipes the secrets whose time after a roll has ended; how many. One round trip. */
export async function wipeEndedSecrets(db: Database, now: number): Promise<number> {
  const wiped = await db.all(sql`
  UPDATE webhook_endpoints INDEXED BY webhook_endpoints_rolled SET previous_secret = NULL, previous_secret_ends_at = NULL
  WHERE previous_secret_ends_at <= ${now} RETURNING id`);
  return wiped.length;
}
