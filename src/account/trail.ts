/**
 * How merchants, keys and webhook endpoints are changed: each change is one D1 batch with the event that records it, and the
 * event carries the caller's idempotency key. So nothing changes without its record, or twice. The batch also checks that
 * the acting key is still active: one that was revoked after its request was authorised changes nothing.
 */
import { ADMINISTRATOR_MERCHANT, type Origin } from "../context";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { raw, type Sql, sql } from "../storage/sql";
import type { AccountEventType } from "./event-types";

export interface Change {
  readonly type: AccountEventType;
  /** Changes one row, or none. Its WHERE clause has the condition that it is given. */
  readonly first: (mayApply: Sql) => Sql;
  /** Each `WHERE changes() = 1` of the one before. */
  readonly next?: readonly Sql[];
  /** The row that the event is about: the query of its merchant and its id. */
  readonly subject: Sql;
  /** What the event says of the change. */
  readonly data: object;
  /** What else changes with it, under the condition that it is given: that this request has made the change. */
  readonly afterwards?: (isApplied: Sql) => readonly Sql[];
}

export type ChangeResult =
  /**
   * `rows` are what the first statement returned, none when it was an attempt whose answer was lost; `others` what those
   * of `afterwards` returned.
   */
  | { tag: "changed"; subject: string; rows: readonly object[]; others: readonly object[] }
  | { tag: "replayed"; subject: string }
  | { tag: "key_reused" }
  /** The acting key has ended, or its merchant is disabled, since the request was authorised. */
  | { tag: "unauthorized" }
  /** There was nothing to change, or nothing to change any more. */
  | { tag: "unchanged" };

interface AppliedChange {
  subject: string;
  fingerprint: string | null;
  commit_id: string;
}

const isAppliedChange = (row: object): row is AppliedChange => "commit_id" in row;
const isActor = (row: object): row is { active: number } => "active" in row;

/** Whether the acting key is valid, as a condition. The administrator's secret, and nobody in open mode, has no row. */
function actorIsActive({ merchantId, keyId, now }: Origin): Sql {
  if (keyId === null || merchantId === ADMINISTRATOR_MERCHANT) return raw("true");
  return sql`EXISTS (SELECT 1 FROM api_keys AS actor JOIN merchants AS own ON own.id = actor.merchant_id
    WHERE actor.id = ${keyId} AND actor.revoked_at IS NULL AND own.disabled_at IS NULL
    AND (actor.expires_at IS NULL OR actor.expires_at > ${now}))`;
}

/** How far the clocks of two machines, or a retried request, may be apart, in milliseconds. */
const MAX_CLOCK_SKEW_MS = 10_000;

/**
 * When an event of a merchant is recorded, as SQL: now, and never before an event that is recorded already, so that the
 * trail is in the order of the commits and a reader who goes on from a position misses none. A clock that has jumped
 * ahead holds the later events only as far as clocks may differ.
 */
export const recordedAt = (merchant: Sql, now: number): Sql => sql`max(${now}, coalesce(
    (SELECT max(earlier.created_at) FROM account_events AS earlier
    WHERE earlier.merchant_id = ${merchant} AND earlier.created_at <= ${now + MAX_CLOCK_SKEW_MS}), 0))`;

/** Makes a change and records it, or finds what its idempotency key has led to. One round trip. */
export async function applyChange(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  { type, first, next = [], subject, data, afterwards = () => [] }: Change,
): Promise<ChangeResult> {
  const { merchantId, keyId, requestId, commitId, now } = origin;
  const { key = null, fingerprint = null } = idempotency ?? {};
  const applied = sql`
  FROM account_events WHERE commit_id = ${commitId} OR (actor_merchant_id = ${merchantId} AND idempotency_key = ${key})`;
  const isActive = actorIsActive(origin);
  const record = sql`
  WITH changed (merchant_id, subject) AS (${subject})
  INSERT INTO account_events
    (commit_id, actor_merchant_id, idempotency_key, fingerprint, type, data, key_id, request_id, created_at, merchant_id, subject)
  SELECT ${commitId}, ${merchantId}, ${key}, ${fingerprint}, ${type}, ${JSON.stringify(data)}, ${keyId}, ${requestId},
    ${recordedAt(raw("changed.merchant_id"), now)}, changed.merchant_id, changed.subject FROM changed WHERE changes() = 1
  RETURNING subject, fingerprint, commit_id`;
  const isApplied = sql`EXISTS (SELECT 1 FROM account_events WHERE commit_id = ${commitId})`;
  const others = afterwards(isApplied);
  const { rows } = await db.batch<object>([
    sql`SELECT subject, fingerprint, commit_id ${applied}`,
    sql`SELECT ${isActive} AS active`,
    first(sql`NOT EXISTS (SELECT 1 ${applied}) AND ${isActive}`),
    ...next,
    record,
    ...others,
  ]);
  const recorded = rows[3 + next.length] ?? [];
  const [found] = [...recorded, ...(rows[0] ?? [])].filter(isAppliedChange);
  // Made now, or in an attempt of this request whose answer was lost: a key that has revoked itself is active no more.
  if (found?.commit_id === commitId) {
    return { tag: "changed", subject: found.subject, rows: rows[2] ?? [], others: rows.slice(4 + next.length).flat() };
  }
  if ((rows[1] ?? []).some((row) => isActor(row) && row.active === 0)) return { tag: "unauthorized" };
  if (!found) return { tag: "unchanged" };
  return found.fingerprint === fingerprint ? { tag: "replayed", subject: found.subject } : { tag: "key_reused" };
}
