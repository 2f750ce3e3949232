/** The D1 statements of sending: what is due, what came of it, and what is cancelled. */
import type { InferSelectModel } from "drizzle-orm";
import type { DeliveryState } from "../outbox/states";
import type { webhookDeliveries, webhookEndpoints } from "../outbox/tables";
import type { Database } from "../storage/database";
import { DISABLE_AFTER_FAILING_MS, nextAttempt } from "./schedule";
import type { AttemptResult } from "./send";

type DeliveryRow = InferSelectModel<typeof webhookDeliveries>;

/** How many attempts of a delivery are kept, the newest. */
export const MAX_ATTEMPTS_KEPT = 50;

/** A delivery that is due, and where it goes. */
export interface DueDelivery
  extends Pick<DeliveryRow, "position" | "attempted" | "failures">,
    Pick<
      InferSelectModel<typeof webhookEndpoints>,
      "merchant_id" | "url" | "secret" | "previous_secret" | "previous_secret_ends_at"
    > {}

/** The deliveries of an endpoint that are due longest; none while it is disabled. One round trip. */
export function findDue(db: Database, endpointId: number, now: number, limit: number): Promise<DueDelivery[]> {
  const sql = `
  SELECT position, attempted, failures, merchant_id, url, secret, previous_secret, previous_secret_ends_at
  FROM webhook_endpoints AS endpoint
  JOIN webhook_deliveries AS due INDEXED BY webhook_deliveries_due ON due.endpoint_id = endpoint.id
  WHERE endpoint.id = ?1 AND disabled_at IS NULL AND deleted_at IS NULL AND next_attempt_at <= ?2
  ORDER BY next_attempt_at, position LIMIT ?3`;
  return db.all<DueDelivery>(db.prepare(sql).bind(endpointId, now, limit));
}

/** When the next delivery of an endpoint is due; null when none is, or it is disabled. One round trip. */
export async function nextDue(db: Database, endpointId: number): Promise<number | null> {
  const sql = `
  SELECT min(next_attempt_at) AS at FROM webhook_deliveries INDEXED BY webhook_deliveries_due
  WHERE endpoint_id = ?1 AND next_attempt_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = ?1 AND disabled_at IS NULL AND deleted_at IS NULL)`;
  const [found] = await db.all<{ at: number | null }>(db.prepare(sql).bind(endpointId));
  return found?.at ?? null;
}

/**
 * Endpoints with deliveries that have been due since before a time, and those that are not told any more and have
 * some left; in no order, so that nobody comes last each time. One round trip; it reads a few rows for each endpoint
 * that has open deliveries, however many those are.
 */
export function findOverdue(
  db: Database,
  before: number,
  limit: number,
): Promise<{ endpoint_id: number; told: 0 | 1 }[]> {
  const sql = `
  WITH RECURSIVE open (endpoint_id) AS (
    SELECT min(endpoint_id) FROM webhook_deliveries INDEXED BY webhook_deliveries_due WHERE next_attempt_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(endpoint_id) FROM webhook_deliveries INDEXED BY webhook_deliveries_due
      WHERE next_attempt_at IS NOT NULL AND endpoint_id > open.endpoint_id)
    FROM open WHERE open.endpoint_id IS NOT NULL
  )
  SELECT endpoint_id, disabled_at IS NULL AND deleted_at IS NULL AS told
  FROM open JOIN webhook_endpoints ON webhook_endpoints.id = endpoint_id
  WHERE NOT told OR (SELECT min(next_attempt_at) FROM webhook_deliveries AS due
    WHERE due.endpoint_id = open.endpoint_id AND next_attempt_at IS NOT NULL) < ?1
  ORDER BY random() LIMIT ?2`;
  return db.all(db.prepare(sql).bind(before, limit));
}

/**
 * The payment of an event of an endpoint's merchant, for SQL: its open deliveries at the endpoint, by position. CROSS
 * JOIN keeps the order of its tables: any other would read all deliveries of the endpoint.
 */
export const OPEN_OF_PAYMENT = `
    SELECT open.position FROM webhook_endpoints AS endpoint
    CROSS JOIN events AS event ON event.merchant_id = endpoint.merchant_id AND event.position = ?2
    CROSS JOIN payments ON payments.id = event.payment_id
    CROSS JOIN json_each(event_positions) AS place
    CROSS JOIN webhook_deliveries AS open ON open.endpoint_id = ?1 AND open.position = place.value
    WHERE endpoint.id = ?1 AND open.state IN ('waiting', 'pending')`;

// An attempt is recorded once, however often its batch runs: it is the one after so many.
const RECORD = `
  UPDATE webhook_deliveries SET
    attempts = json_insert(iif(json_array_length(attempts) < ${MAX_ATTEMPTS_KEPT}, attempts, json_remove(attempts, '$[0]')),
      '$[#]', json(?4)),
    attempted = attempted + 1, failures = ?5,
    state = iif(state = 'pending', ?6, state), next_attempt_at = iif(state = 'pending', ?7, NULL)
  WHERE endpoint_id = ?1 AND position = ?2 AND attempted = ?3`;

const RELEASE_NEXT = `
  UPDATE webhook_deliveries SET state = 'pending', next_attempt_at = ?3
  WHERE endpoint_id = ?1 AND state = 'waiting' AND position = (SELECT min(position) FROM (${OPEN_OF_PAYMENT}))`;

// What came of an attempt says nothing of another URL that the endpoint has been given since.
const MARK_FAILING =
  "UPDATE webhook_endpoints SET failing_since = ?2 WHERE id = ?1 AND url = ?3 AND failing_since IS NULL";
const CLEAR_FAILING = "UPDATE webhook_endpoints SET failing_since = NULL WHERE id = ?1 AND failing_since IS NOT NULL";

const DISABLE = `
  UPDATE webhook_endpoints SET disabled_at = ?2, disabled_reason = ?3, updated_at = max(updated_at, ?2)
  WHERE id = ?1 AND url = ?4 AND disabled_at IS NULL AND deleted_at IS NULL
  AND (?3 = 'gone' OR failing_since <= ?2 - ${DISABLE_AFTER_FAILING_MS})`;

const RECORD_DISABLING = `
  INSERT INTO account_events
    (merchant_id, type, subject, data, actor_merchant_id, request_id, commit_id, created_at)
  SELECT merchant_id, 'webhook_endpoint.disabled', CAST(id AS TEXT), json_object('reason', ?2), merchant_id, ?3, ?3, ?4
  FROM webhook_endpoints WHERE id = ?1 AND changes() = 1 RETURNING id`;

const GONE = 410;

/** What a delivery is after an attempt, and when it is tried again. */
function judge({ failures }: DueDelivery, { succeeded, retryAfter }: AttemptResult, now: number, random: number) {
  if (succeeded) return { state: "succeeded" as const, failures: 0, next: null };
  const next = nextAttempt(failures + 1, now, retryAfter, random);
  return { state: next === null ? ("exhausted" as const) : ("pending" as const), failures: failures + 1, next };
}

/**
 * Records what came of an attempt, lets the payment's next event go when this one is done with, and disables an
 * endpoint that is gone or has only failed for too long. One round trip.
 *
 * @returns the delivery's state, and whether the endpoint was disabled just now
 */
export async function recordAttempt(
  db: Database,
  endpointId: number,
  due: DueDelivery,
  sent: AttemptResult,
  { now, random, commitId }: { now: number; random: number; commitId: string },
): Promise<{ state: DeliveryState; disabled: boolean }> {
  const { state, failures, next } = judge(due, sent, now, random);
  const { position, attempted } = due;
  const reason = sent.attempt.status === GONE ? "gone" : "failing";
  const own = db
    .prepare(RECORD)
    .bind(endpointId, position, attempted, JSON.stringify(sent.attempt), failures, state, next);
  const releaseNext = db.prepare(RELEASE_NEXT).bind(endpointId, position, now);
  const { rows } = await db.batch<object>(
    sent.succeeded
      ? [own, releaseNext, db.prepare(CLEAR_FAILING).bind(endpointId)]
      : [
          own,
          releaseNext,
          db.prepare(MARK_FAILING).bind(endpointId, now, due.url),
          db.prepare(DISABLE).bind(endpointId, now, reason, due.url),
          db.prepare(RECORD_DISABLING).bind(endpointId, reason, commitId, now),
        ],
  );
  return { state, disabled: !sent.succeeded && (rows.at(-1) ?? []).length > 0 };
}

/** Open deliveries that are cancelled in one step, or a few more. */
const CANCEL_BATCH_SIZE = 500;

/**
 * Cancels all open deliveries of an endpoint that is disabled or deleted; those of a payment go together. Of one that
 * is enabled again meanwhile, none. A round trip for each step.
 */
export async function cancelOpen(db: Database, endpointId: number): Promise<number> {
  const sql = `
  UPDATE webhook_deliveries SET state = 'cancelled', next_attempt_at = NULL
  WHERE endpoint_id = ?1 AND state IN ('waiting', 'pending') AND position IN (
    SELECT place.value FROM (
      SELECT position FROM webhook_deliveries INDEXED BY webhook_deliveries_due
      WHERE endpoint_id = ?1 AND next_attempt_at IS NOT NULL LIMIT ${CANCEL_BATCH_SIZE}) AS chosen
    JOIN webhook_endpoints AS endpoint
      ON endpoint.id = ?1 AND (endpoint.disabled_at IS NOT NULL OR endpoint.deleted_at IS NOT NULL)
    JOIN events AS event ON event.merchant_id = endpoint.merchant_id AND event.position = chosen.position
    JOIN payments ON payments.id = event.payment_id
    JOIN json_each(event_positions) AS place)
  RETURNING position`;
  let cancelled = 0;
  for (;;) {
    const step = await db.all(db.prepare(sql).bind(endpointId));
    cancelled += step.length;
    if (step.length < CANCEL_BATCH_SIZE) return cancelled;
  }
}
