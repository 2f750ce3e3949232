/** The D1 statements of sending: what is due, and what came of it. */
import type { InferSelectModel } from "drizzle-orm";
import { recordedAt } from "../account/trail";
import { insertDisabledDeliveries, insertDisabledEvents, isOwnedDelivery } from "../outbox/endpoint-events";
import type { DeliveryId } from "../outbox/outbox";
import type { DeliveryState } from "../outbox/states";
import type { webhookDeliveries, webhookEndpoints } from "../outbox/tables";
import type { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";
import { DISABLE_AFTER_FAILING_MS, nextAttempt, RETRY_UNSIGNED_AFTER_MS } from "./schedule";
import type { AttemptResult } from "./send";

/** An endpoint, as every statement about its deliveries names it. */
export interface EndpointId {
  readonly merchantId: number;
  readonly endpointId: number;
}

type DeliveryRow = InferSelectModel<typeof webhookDeliveries>;

/** How many attempts of a delivery are kept, the newest. */
export const MAX_ATTEMPTS_KEPT = 50;

/** A delivery that is due, and where it goes. */
export interface DueDelivery
  extends Pick<DeliveryRow, "position" | "attempted" | "failures">,
    Pick<
      InferSelectModel<typeof webhookEndpoints>,
      "url" | "secret" | "previous_secret" | "previous_secret_ends_at" | "types_changed_at" | "failing_since"
    > {}

/** The deliveries of an endpoint that are due longest; none while it, or its merchant, is disabled. One round trip. */
export function findDue(
  db: Database,
  { merchantId, endpointId }: EndpointId,
  now: number,
  limit: number,
): Promise<DueDelivery[]> {
  return db.all<DueDelivery>(sql`
  SELECT position, attempted, failures, url, secret, previous_secret, previous_secret_ends_at, types_changed_at,
    failing_since
  FROM webhook_endpoints AS endpoint
  JOIN merchants ON merchants.id = endpoint.merchant_id AND merchants.disabled_at IS NULL
  JOIN webhook_deliveries AS due INDEXED BY webhook_deliveries_due ON due.endpoint_id = endpoint.id
  WHERE endpoint.id = ${endpointId} AND endpoint.merchant_id = ${merchantId}
  AND endpoint.disabled_at IS NULL AND deleted_at IS NULL AND next_attempt_at <= ${now}
  ORDER BY next_attempt_at, position LIMIT ${limit}`);
}

/** What an endpoint has left when nothing is due. */
export interface Outlook {
  /** When its next delivery is due; null when none is, and while its merchant is disabled: the sweep sees that end. */
  readonly next: number | null;
  /** Whether it is disabled or deleted, and all that is open is to be cancelled. */
  readonly is_closed: 0 | 1;
  /** Set while what is open of types that it no longer receives is to be cancelled. */
  readonly types_changed_at: number | null;
}

/** What an endpoint has left when nothing is due; null when there is no such endpoint. One round trip. */
export async function findOutlook(db: Database, { merchantId, endpointId }: EndpointId): Promise<Outlook | null> {
  const [found] = await db.all<Outlook>(sql`
  SELECT iif(merchants.disabled_at IS NULL, (SELECT min(next_attempt_at)
    FROM webhook_deliveries INDEXED BY webhook_deliveries_due
    WHERE endpoint_id = endpoint.id AND next_attempt_at IS NOT NULL), NULL) AS next,
  endpoint.disabled_at IS NOT NULL OR deleted_at IS NOT NULL AS is_closed, types_changed_at
  FROM webhook_endpoints AS endpoint JOIN merchants ON merchants.id = endpoint.merchant_id
  WHERE endpoint.id = ${endpointId} AND endpoint.merchant_id = ${merchantId}`);
  return found ?? null;
}

/**
 * Endpoints with deliveries that have been due since before a time, unless their merchant is disabled, or with some
 * that are to be cancelled; in no order, so that nobody comes last each time. One round trip; it reads a few rows for each endpoint that has open
 * deliveries, however many those are.
 */
export function findOverdue(
  db: Database,
  before: number,
  limit: number,
): Promise<{ endpoint_id: number; merchant_id: number }[]> {
  return db.all(sql`
  WITH RECURSIVE open (endpoint_id) AS (
    SELECT min(endpoint_id) FROM webhook_deliveries INDEXED BY webhook_deliveries_due WHERE next_attempt_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(endpoint_id) FROM webhook_deliveries INDEXED BY webhook_deliveries_due
      WHERE next_attempt_at IS NOT NULL AND endpoint_id > open.endpoint_id)
    FROM open WHERE open.endpoint_id IS NOT NULL
  )
  SELECT endpoint_id, merchant_id
  FROM open
  JOIN webhook_endpoints AS endpoint ON endpoint.id = endpoint_id
  JOIN merchants ON merchants.id = endpoint.merchant_id
  WHERE endpoint.disabled_at IS NOT NULL OR deleted_at IS NOT NULL OR types_changed_at IS NOT NULL
  OR (merchants.disabled_at IS NULL AND (SELECT min(next_attempt_at) FROM webhook_deliveries AS due
    WHERE due.endpoint_id = open.endpoint_id AND next_attempt_at IS NOT NULL) < ${before})
  ORDER BY random() LIMIT ${limit}`);
}

/**
 * The open deliveries, at an endpoint, of the payment that an event is of, as SQL: their positions. CROSS JOIN keeps
 * the order of its tables: any other would read all deliveries of the endpoint.
 */
export const openOfPayment = ({ merchantId, endpointId }: EndpointId, position: number): Sql => sql`
    SELECT open.position FROM events AS event
    CROSS JOIN payments ON payments.id = event.payment_id
    CROSS JOIN json_each(event_positions) AS place
    CROSS JOIN webhook_deliveries AS open ON open.endpoint_id = ${endpointId} AND open.position = place.value
    WHERE event.merchant_id = ${merchantId} AND event.position = ${position} AND open.state IN ('waiting', 'pending')`;

const GONE = 410;

/** What a delivery is after an attempt, and when it is tried again. */
function stateAfter(
  { failures }: DueDelivery,
  { succeeded, isUnsigned, retryAfter }: AttemptResult,
  now: number,
  random: number,
) {
  if (isUnsigned) return { state: "pending" as const, failures, next: now + RETRY_UNSIGNED_AFTER_MS };
  if (succeeded) return { state: "succeeded" as const, failures: 0, next: null };
  const next = nextAttempt(failures + 1, now, retryAfter, random);
  return { state: next === null ? ("exhausted" as const) : ("pending" as const), failures: failures + 1, next };
}

/**
 * Records what came of an attempt, lets the payment's next event go when this one is done with, and disables an
 * endpoint that is gone or has only failed for too long, of which the merchant's other endpoints receive an event. What could
 * not be signed says nothing of the endpoint. One round trip.
 *
 * @returns the delivery's state, whether the endpoint was disabled just now, and the deliveries of the event that says so,
 *   as far as the answer was not lost
 */
export async function recordAttempt(
  db: Database,
  endpoint: EndpointId,
  due: DueDelivery,
  sent: AttemptResult,
  { now, random, commitId }: { now: number; random: number; commitId: string },
): Promise<{ state: DeliveryState; disabled: boolean; deliveries: readonly DeliveryId[] }> {
  const { endpointId: id } = endpoint;
  const { state, failures, next } = stateAfter(due, sent, now, random);
  const { position, attempted, url } = due;
  const reason = sent.attempt.status === GONE ? "gone" : "failing";
  // An attempt is recorded once, however often its batch runs: it is the one after so many.
  const record = sql`
  UPDATE webhook_deliveries SET
    attempts = json_insert(iif(json_array_length(attempts) < ${raw(String(MAX_ATTEMPTS_KEPT))}, attempts,
      json_remove(attempts, '$[0]')), '$[#]', json(${JSON.stringify(sent.attempt)})),
    attempted = attempted + 1, failures = ${failures},
    state = iif(state = 'pending', ${state}, state), next_attempt_at = iif(state = 'pending', ${next}, NULL)
  WHERE endpoint_id = ${id} AND position = ${position} AND attempted = ${attempted}`;
  if (sent.isUnsigned) {
    await db.all(record);
    return { state, disabled: false, deliveries: [] };
  }
  const releaseNext = sql`
  UPDATE webhook_deliveries SET state = 'pending', next_attempt_at = ${now}
  WHERE endpoint_id = ${id} AND state = 'waiting'
  AND position = (SELECT min(position) FROM (${openOfPayment(endpoint, position)}))`;
  const clearFailing = sql`
  UPDATE webhook_endpoints SET failing_since = NULL WHERE id = ${id} AND failing_since IS NOT NULL`;
  if (sent.succeeded) {
    await db.batch([record, releaseNext, clearFailing]);
    return { state, disabled: false, deliveries: [] };
  }
  // What came of an attempt says nothing of another URL that the endpoint has been given since.
  const setFailing = sql`
  UPDATE webhook_endpoints SET failing_since = ${now} WHERE id = ${id} AND url = ${url} AND failing_since IS NULL`;
  const failingSince = now - DISABLE_AFTER_FAILING_MS;
  // An endpoint that begins to fail anew after this was read is not failing for longer than it was.
  const mayDisable = reason === "gone" || (due.failing_since !== null && due.failing_since <= failingSince);
  if (!mayDisable) {
    await db.batch([record, releaseNext, setFailing]);
    return { state, disabled: false, deliveries: [] };
  }
  const isToDisable = sql`id = ${id} AND url = ${url} AND disabled_at IS NULL AND deleted_at IS NULL
  AND (${reason} = 'gone' OR failing_since <= ${failingSince})`;
  const disabler = { requestId: commitId, commitId, keyId: null, now };
  const { rows } = await db.batch<object>([
    record,
    releaseNext,
    setFailing,
    insertDisabledEvents(isToDisable, reason, disabler),
    sql`
  UPDATE webhook_endpoints SET disabled_at = ${now}, disabled_reason = ${reason}, updated_at = max(updated_at, ${now})
  WHERE ${isToDisable}`,
    sql`
  INSERT INTO account_events
    (merchant_id, type, subject, data, actor_merchant_id, request_id, commit_id, created_at)
  SELECT merchant_id, 'webhook_endpoint.disabled', CAST(id AS TEXT), json_object('reason', ${reason}), merchant_id,
    ${commitId}, ${commitId}, ${recordedAt(raw("webhook_endpoints.merchant_id"), now)}
  FROM webhook_endpoints WHERE id = ${id} AND changes() = 1 RETURNING id`,
    insertDisabledDeliveries(
      sql`SELECT id, merchant_id FROM webhook_endpoints WHERE id = ${id} AND disabled_at IS NOT NULL`,
      disabler,
    ),
  ]);
  const [recorded = [], inserted = []] = rows.slice(-2);
  return { state, disabled: recorded.length > 0, deliveries: inserted.filter(isOwnedDelivery) };
}
