/** Every D1 statement about webhook endpoints. */
import type { InferSelectModel } from "drizzle-orm";
import { creatorOf } from "../account/api-keys";
import { applyChange, type ChangeResult } from "../account/trail";
import { seal } from "../auth/seal";
import type { Origin } from "../context";
import { type Page, pageOf, type Window } from "../http/pages";
import type { EventType } from "../outbox/event-types";
import { MAX_ENDPOINTS } from "../outbox/outbox";
import type { webhookEndpoints } from "../outbox/tables";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { Outage } from "../storage/outage";
import { columnsOf, join, raw, type Sql, sql } from "../storage/sql";
import { endpointSecretPlace, makeSecret } from "./signature";

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
  url_set_by: true,
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

function readRow(row: WebhookEndpointRow): WebhookEndpoint {
  return { ...row, types: row.types === null ? null : JSON.parse(row.types) };
}

/** The secrets that sign at a time, the newest first, as they are stored. */
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

const subjectOf = (id: Sql) => sql`SELECT merchant_id, CAST(id AS TEXT) FROM webhook_endpoints WHERE id = ${id}`;

/** An endpoint's own condition: the merchant's, and there. */
const ownedEndpoint = (id: number, { merchantId }: Origin) =>
  sql`id = ${id} AND merchant_id = ${merchantId} AND deleted_at IS NULL`;

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

/** A creation takes another id when somebody else was first to take its own, so often. */
const MAX_CREATE_TRIES = 8;

/**
 * Creates an endpoint; `unchanged` when the merchant has as many as it may. Two round trips, and two more each time that another
 * creation takes the same id: a secret is sealed for its row, so that the id is known before the insert. None is used twice, for no
 * row is ever deleted.
 *
 * @param keys the text of SECRETS_KEYS
 */
export async function createWebhookEndpoint(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  { url, types }: NewWebhookEndpoint,
  keys: string,
): Promise<CreatedSecret> {
  const { merchantId, now } = origin;
  const secret = makeSecret();
  for (let tries = 0; tries < MAX_CREATE_TRIES; tries++) {
    const [newest] = await db.all<{ id: number }>(sql`SELECT max(id) AS id FROM webhook_endpoints`);
    // Many that have met take ids that are apart.
    const id = (newest?.id ?? 0) + 1 + Math.floor(Math.random() * 2 ** tries);
    const sealed = await seal(secret, endpointSecretPlace(merchantId, id), keys);
    try {
      const changed = await applyChange(db, origin, idempotency, {
        type: "webhook_endpoint.created",
        first: (mayApply) => sql`
  INSERT INTO webhook_endpoints (id, merchant_id, url, url_set_by, types, secret, created_at, updated_at)
  SELECT ${id}, ${merchantId}, ${url}, ${creatorOf(origin)}, ${types && JSON.stringify(types)}, ${sealed}, ${now}, ${now}
  WHERE ${mayApply}
  AND (SELECT count(*) FROM webhook_endpoints WHERE merchant_id = ${merchantId} AND deleted_at IS NULL) < ${MAX_ENDPOINTS}`,
        subject: subjectOf(sql`${id}`),
        data: { url, types },
      });
      return toCreatedSecret(changed, secret);
    } catch (error) {
      if (!isIdTaken(error)) throw error;
    }
  }
  throw new Outage("Other endpoints were created at the same time, each time");
}

const isIdTaken = (error: unknown): boolean =>
  error instanceof Error && error.message.includes("UNIQUE constraint failed: webhook_endpoints.id");

export interface WebhookEndpointChange {
  readonly url?: string | undefined;
  readonly types?: readonly EventType[] | null | undefined;
  readonly enabled?: boolean | undefined;
}

/**
 * Changes an endpoint; `unchanged` when there is none, or that is how it is. A key that gives it another URL, or enables
 * it after the one that had given it its URL was revoked, answers for the URL from then on. One round trip.
 */
export function updateWebhookEndpoint(
  db: Database,
  origin: Origin,
  id: number,
  { url, types, enabled }: WebhookEndpointChange,
): Promise<ChangeResult> {
  const { now } = origin;
  const wantedUrl = sql`coalesce(${url ?? null}, url)`;
  const isRetyped = sql`(${Number(types !== undefined)} AND types IS NOT ${types ? JSON.stringify(types) : null})`;
  const isEnabled = sql`${enabled === undefined ? null : Number(enabled)}`;
  return applyChange(db, origin, null, {
    type: "webhook_endpoint.updated",
    first: (mayApply) => sql`
  UPDATE webhook_endpoints SET url = ${wantedUrl}, updated_at = max(updated_at, ${now}),
    url_set_by = iif(url <> ${wantedUrl} OR (${isEnabled} = 1 AND disabled_reason = 'key_revoked'),
      ${creatorOf(origin)}, url_set_by),
    types = iif(${isRetyped}, ${types ? JSON.stringify(types) : null}, types),
    types_changed_at = iif(${isRetyped}, max(coalesce(types_changed_at, 0) + 1, ${now}), types_changed_at),
    disabled_at = CASE ${isEnabled} WHEN 1 THEN NULL WHEN 0 THEN coalesce(disabled_at, ${now}) ELSE disabled_at END,
    disabled_reason =
      CASE ${isEnabled} WHEN 1 THEN NULL WHEN 0 THEN coalesce(disabled_reason, 'requested') ELSE disabled_reason END,
    failing_since = iif((${isEnabled} = 1 AND disabled_at IS NOT NULL) OR url <> ${wantedUrl}, NULL, failing_since)
  WHERE ${ownedEndpoint(id, origin)} AND ${mayApply}
  AND (url IS NOT ${wantedUrl} OR ${isRetyped} OR (disabled_at IS NULL) IS NOT coalesce(${isEnabled}, disabled_at IS NULL))`,
    subject: subjectOf(sql`${id}`),
    data: { url, types, enabled },
  });
}

/** Deletes an endpoint and wipes its secrets; `unchanged` when there is none. Its deliveries stay. One round trip. */
export function deleteWebhookEndpoint(db: Database, origin: Origin, id: number): Promise<ChangeResult> {
  return applyChange(db, origin, null, {
    type: "webhook_endpoint.deleted",
    first: (mayApply) => sql`
  UPDATE webhook_endpoints SET deleted_at = ${origin.now}, updated_at = max(updated_at, ${origin.now}),
    secret = NULL, previous_secret = NULL, previous_secret_ends_at = NULL
  WHERE ${ownedEndpoint(id, origin)} AND ${mayApply}`,
    subject: subjectOf(sql`${id}`),
    data: {},
  });
}

/**
 * Gives an endpoint a new secret, beside which the old one signs for `overlap` more milliseconds; one that was
 * rolled before that signs no more. `unchanged` when there is no such endpoint. One round trip.
 *
 * @param keys the text of SECRETS_KEYS
 */
export async function rollSecret(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  { id, overlap }: { id: number; overlap: number },
  keys: string,
): Promise<CreatedSecret> {
  const secret = makeSecret();
  const sealed = await seal(secret, endpointSecretPlace(origin.merchantId, id), keys);
  const end = origin.now + overlap;
  const changed = await applyChange(db, origin, idempotency, {
    type: "webhook_endpoint.rolled",
    first: (mayApply) => sql`
  UPDATE webhook_endpoints SET secret = ${sealed}, previous_secret = iif(${end} > ${origin.now}, secret, NULL),
    previous_secret_ends_at = iif(${end} > ${origin.now}, ${end}, NULL), updated_at = max(updated_at, ${origin.now})
  WHERE ${ownedEndpoint(id, origin)} AND ${mayApply}`,
    subject: subjectOf(sql`${id}`),
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

/** How many of a merchant's enabled endpoints have failed since their last success, as a query: one row, of as many as it has at most. */
export const findFailingEndpoints = (merchantId: number): Sql => sql`
  SELECT count(*) AS failing FROM webhook_endpoints INDEXED BY webhook_endpoints_enabled
  WHERE merchant_id = ${merchantId} AND disabled_at IS NULL AND deleted_at IS NULL AND failing_since IS NOT NULL`;
