/** Every D1 statement about deliveries: what is due, what came of it, and what is sent again. */
import type { InferSelectModel } from "drizzle-orm";
import type { Database } from "../database";
import type { webhookDeliveries, webhookEndpoints } from "../db/schema";
import type { EventType } from "../payment/lifecycle";
import { type DeliveryId, isDeliveryId } from "./outbox";
import { FAILING_FOR, nextAttempt } from "./schedule";
import type { Attempt, Sent } from "./send";
import type { DeliveryState } from "./states";

type DeliveryRow = InferSelectModel<typeof webhookDeliveries>;

/** How many attempts of a delivery are kept, the newest. */
export const ATTEMPTS_KEPT = 50;

/** A delivery that is due, and where it goes. */
export interface Due
  extends Pick<DeliveryRow, "position" | "attempted" | "failures">,
    Pick<
      InferSelectModel<typeof webhookEndpoints>,
      "merchant_id" | "url" | "secret" | "previous_secret" | "previous_secret_ends_at"
    > {}

/** The deliveries of an endpoint that are due longest; none while it is disabled. One round trip. */
export function findDue(db: Database, endpointId: number, now: number, limit: number): Promise<Due[]> {
  const sql = `
  SELECT position, attempted, failures, merchant_id, url, secret, previous_secret, previous_secret_ends_at
  FROM webhook_endpoints AS endpoint
  JOIN webhook_deliveries AS due INDEXED BY webhook_deliveries_due ON due.endpoint_id = endpoint.id
  WHERE endpoint.id = ?1 AND disabled_at IS NULL AND deleted_at IS NULL AND next_attempt_at <= ?2
  ORDER BY next_attempt_at, position LIMIT ?3`;
  return db.all<Due>(db.prepare(sql).bind(endpointId, now, limit));
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
const OPEN_OF_PAYMENT = `
    SELECT open.position FROM webhook_endpoints AS endpoint
    CROSS JOIN events AS event ON event.merchant_id = endpoint.merchant_id AND event.position = ?2
    CROSS JOIN payments ON payments.id = event.payment_id
    CROSS JOIN json_each(event_positions) AS place
    CROSS JOIN webhook_deliveries AS open ON open.endpoint_id = ?1 AND open.position = place.value
    WHERE endpoint.id = ?1 AND open.state IN ('waiting', 'pending')`;

// An attempt is recorded once, however often its batch runs: it is the one after so many.
const RECORD = `
  UPDATE webhook_deliveries SET
    attempts = json_insert(iif(json_array_length(attempts) < ${ATTEMPTS_KEPT}, attempts, json_remove(attempts, '$[0]')),
      '$[#]', json(?4)),
    attempted = attempted + 1, failures = ?5,
    state = iif(state = 'pending', ?6, state), next_attempt_at = iif(state = 'pending', ?7, NULL)
  WHERE endpoint_id = ?1 AND position = ?2 AND attempted = ?3`;

const LET_NEXT_GO = `
  UPDATE webhook_deliveries SET state = 'pending', next_attempt_at = ?3
  WHERE endpoint_id = ?1 AND state = 'waiting' AND position = (SELECT min(position) FROM (${OPEN_OF_PAYMENT}))`;

// What came of an attempt says nothing of another URL that the endpoint has been given since.
const BEGIN_TO_FAIL =
  "UPDATE webhook_endpoints SET failing_since = ?2 WHERE id = ?1 AND url = ?3 AND failing_since IS NULL";
const FAIL_NO_MORE = "UPDATE webhook_endpoints SET failing_since = NULL WHERE id = ?1 AND failing_since IS NOT NULL";

const DISABLE = `
  UPDATE webhook_endpoints SET disabled_at = ?2, disabled_reason = ?3, updated_at = max(updated_at, ?2)
  WHERE id = ?1 AND url = ?4 AND disabled_at IS NULL AND deleted_at IS NULL
  AND (?3 = 'gone' OR failing_since <= ?2 - ${FAILING_FOR})`;

const TELL_OF_DISABLING = `
  INSERT INTO account_events
    (merchant_id, type, subject, data, actor_merchant_id, request_id, commit_id, created_at)
  SELECT merchant_id, 'webhook_endpoint.disabled', CAST(id AS TEXT), json_object('reason', ?2), merchant_id, ?3, ?3, ?4
  FROM webhook_endpoints WHERE id = ?1 AND changes() = 1 RETURNING id`;

const GONE = 410;

/** What a delivery is after an attempt, and when it is tried again. */
function judge({ failures }: Due, { succeeded, retryAfter }: Sent, now: number, random: number) {
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
  due: Due,
  sent: Sent,
  { now, random, commitId }: { now: number; random: number; commitId: string },
): Promise<{ state: DeliveryState; disabled: boolean }> {
  const { state, failures, next } = judge(due, sent, now, random);
  const { position, attempted } = due;
  const reason = sent.attempt.status === GONE ? "gone" : "failing";
  const own = db
    .prepare(RECORD)
    .bind(endpointId, position, attempted, JSON.stringify(sent.attempt), failures, state, next);
  const letNextGo = db.prepare(LET_NEXT_GO).bind(endpointId, position, now);
  const { rows } = await db.batch<object>(
    sent.succeeded
      ? [own, letNextGo, db.prepare(FAIL_NO_MORE).bind(endpointId)]
      : [
          own,
          letNextGo,
          db.prepare(BEGIN_TO_FAIL).bind(endpointId, now, due.url),
          db.prepare(DISABLE).bind(endpointId, now, reason, due.url),
          db.prepare(TELL_OF_DISABLING).bind(endpointId, reason, commitId, now),
        ],
  );
  return { state, disabled: !sent.succeeded && (rows.at(-1) ?? []).length > 0 };
}

/** Open deliveries that are cancelled in one step, or a few more. */
const CANCELLED_AT_ONCE = 500;

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
      WHERE endpoint_id = ?1 AND next_attempt_at IS NOT NULL LIMIT ${CANCELLED_AT_ONCE}) AS chosen
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
    if (step.length < CANCELLED_AT_ONCE) return cancelled;
  }
}

/** A delivery in the log of an endpoint, with the event that it is of. */
export interface Delivery extends Omit<DeliveryRow, "attempts" | "endpoint_id" | "failures"> {
  readonly payment_id: number;
  readonly sequence: number;
  readonly type: EventType;
  /** Oldest first. */
  readonly attempts: readonly Attempt[];
}

const DELIVERY = `
  delivery.position, delivery.state, delivery.next_attempt_at, delivery.attempted, delivery.attempts, delivery.created_at,
  event.payment_id, event.sequence, event.type`;
const ITS_EVENT = "events AS event ON event.merchant_id = ?1 AND event.position = delivery.position";

type FoundDelivery = Omit<Delivery, "attempts"> & { attempts: string };

function readDelivery(row: FoundDelivery): Delivery {
  return { ...row, attempts: JSON.parse(row.attempts) };
}

export interface LogQuestion {
  /** Only deliveries of events before this position. */
  readonly before: number | null;
  readonly limit: number;
  readonly states?: readonly DeliveryState[] | undefined;
  readonly types?: readonly EventType[] | undefined;
  readonly paymentId?: number | undefined;
}

/** How many deliveries, for each one asked for, are looked at where a filter is given. */
export const DELIVERIES_LOOKED_AT_PER_ROW = 10;

/**
 * The deliveries of an endpoint, newest event first, and the position to go on before; null at the end. Where a
 * filter is given there may be fewer than asked for, and more to come. One round trip.
 */
export async function listDeliveries(
  db: Database,
  merchantId: number,
  endpointId: number,
  { before, limit, states, types, paymentId }: LogQuestion,
): Promise<{ deliveries: Delivery[]; end: number | null }> {
  const filters = [
    ...(states ? ["delivery.state IN (SELECT value FROM json_each(?5))"] : []),
    ...(types ? ["event.type IN (SELECT value FROM json_each(?6))"] : []),
    ...(paymentId === undefined ? [] : ["event.payment_id = ?7"]),
  ];
  const looked = filters.length > 0 ? limit * DELIVERIES_LOOKED_AT_PER_ROW : limit;
  const seen = `
    SELECT * FROM webhook_deliveries WHERE endpoint_id = ?2 AND position < ?3 ORDER BY position DESC LIMIT ${looked}`;
  const found = `
  SELECT ${DELIVERY} FROM (${seen}) AS delivery CROSS JOIN ${ITS_EVENT}
  ${filters.length > 0 ? `WHERE ${filters.join(" AND ")}` : ""} ORDER BY delivery.position DESC LIMIT ?4`;
  const last = `
  SELECT min(position) AS last, (SELECT min(position) FROM webhook_deliveries WHERE endpoint_id = ?1) AS oldest
  FROM (SELECT position FROM webhook_deliveries WHERE endpoint_id = ?1 AND position < ?2 ORDER BY position DESC LIMIT ${looked})`;
  const from = before ?? Number.MAX_SAFE_INTEGER;
  const values = [
    merchantId,
    endpointId,
    from,
    limit,
    JSON.stringify(states ?? []),
    JSON.stringify(types ?? []),
    paymentId ?? 0,
  ];
  const used = paymentId !== undefined ? 7 : types ? 6 : states ? 5 : 4;
  const { rows } = await db.batch<FoundDelivery | { last: number | null; oldest: number | null }>([
    db.prepare(found).bind(...values.slice(0, used)),
    db.prepare(last).bind(endpointId, from),
  ]);
  const deliveries = (rows[0] ?? []).filter((row) => "state" in row).map(readDelivery);
  const walked = rows[1]?.find((row) => "oldest" in row);
  const end = deliveries.length === limit ? (deliveries.at(-1)?.position ?? null) : (walked?.last ?? null);
  return { deliveries, end: end !== null && end !== walked?.oldest ? end : null };
}

/** The delivery of an event to an endpoint; null when there is none. One round trip. */
export async function findDelivery(
  db: Database,
  merchantId: number,
  endpointId: number,
  { paymentId, sequence }: { paymentId: number; sequence: number },
): Promise<Delivery | null> {
  const sql = `
  SELECT ${DELIVERY} FROM payments
  JOIN webhook_deliveries AS delivery
    ON delivery.endpoint_id = ?2 AND delivery.position = event_positions ->> ?4
  JOIN ${ITS_EVENT} WHERE payments.id = ?3 AND payments.merchant_id = ?1`;
  const [row] = await db.all<FoundDelivery>(
    db.prepare(sql).bind(merchantId, endpointId, paymentId, `$[${sequence - 1}]`),
  );
  return row ? readDelivery(row) : null;
}

/** Has later events of a payment wait for an earlier one that is sent again. ?1 is the endpoint. */
const putBack = (positions: string) => `
  UPDATE webhook_deliveries SET state = 'waiting', next_attempt_at = NULL
  WHERE endpoint_id = ?1 AND state = 'pending' AND position IN (${positions})`;

/**
 * Makes a delivery due now, with all its tries, before the payment's later events that are open; not while an earlier
 * one is. One round trip.
 */
export async function retryDelivery(db: Database, endpointId: number, position: number, now: number): Promise<boolean> {
  const sql = `
  UPDATE webhook_deliveries SET state = 'pending', next_attempt_at = ?3, failures = 0
  WHERE endpoint_id = ?1 AND position = ?2 AND NOT EXISTS (SELECT 1 FROM (${OPEN_OF_PAYMENT}) WHERE position < ?2)
  AND EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = ?1 AND disabled_at IS NULL AND deleted_at IS NULL)
  RETURNING position`;
  const later = putBack(`
    SELECT position FROM (${OPEN_OF_PAYMENT}) WHERE position > ?2 AND EXISTS (
      SELECT 1 FROM webhook_deliveries WHERE endpoint_id = ?1 AND position = ?2 AND state = 'pending')`);
  const { rows } = await db.batch<object>([
    db.prepare(sql).bind(endpointId, position, now),
    db.prepare(later).bind(endpointId, position),
  ]);
  return (rows[0] ?? []).length > 0;
}

/** The position of a merchant's first event that is not before a time, or of the next one: found by halving. */
const firstFrom = (time: string) => {
  const middle = "(low + high) / 2";
  const isBefore = `(SELECT created_at FROM events WHERE merchant_id = ?2 AND position = ${middle}) < ${time}`;
  return `(
    WITH RECURSIVE halving (low, high) AS (
      SELECT 1, 1 + coalesce((SELECT max(position) FROM events WHERE merchant_id = ?2), 0)
      UNION ALL
      SELECT iif(${isBefore}, ${middle} + 1, low), iif(${isBefore}, high, ${middle}) FROM halving WHERE low < high
    ) SELECT low FROM halving WHERE low >= high)`;
};

/** Events that one replay sends again, at most. */
export const REPLAYED_AT_ONCE = 1_000;

export interface Range {
  /** In milliseconds; the first is included, the second is not. */
  readonly from: number;
  readonly to: number;
  /** Only events after this position. */
  readonly after: number;
}

/**
 * Delivers the events of a time range again, also those that had no delivery; what is still open keeps its tries.
 * Each payment's go in their order, before its later ones that are open. One round trip, which reads a few rows for
 * each event of the range.
 *
 * @returns what is delivered again, and the position to go on after; null at the end of the range
 */
export async function replayRange(
  db: Database,
  merchantId: number,
  endpointId: number,
  { from, to, after }: Range,
  now: number,
): Promise<{ replayed: DeliveryId[]; end: number | null }> {
  const range = `
  SELECT max(first, ?3 + 1) AS first, min(beyond, max(first, ?3 + 1) + ${REPLAYED_AT_ONCE}) AS last, beyond
  FROM (SELECT ${firstFrom("?4")} AS first, ${firstFrom("?5")} AS beyond)`;
  const sql = `
  INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
  SELECT endpoint_id, position, iif(waits, 'waiting', 'pending'), iif(waits, NULL, ?6), ?6
  FROM (
    SELECT endpoint.id AS endpoint_id, event.position, EXISTS (
      SELECT 1 FROM json_each(event_positions) AS place
      CROSS JOIN events AS earlier ON earlier.merchant_id = ?2 AND earlier.position = place.value
      LEFT JOIN webhook_deliveries AS open ON open.endpoint_id = ?1 AND open.position = place.value
      WHERE place.value < event.position AND (open.state IN ('waiting', 'pending') OR (place.value >= range.first
        AND EXISTS (SELECT 1 FROM json_each(endpoint.types) AS wanted WHERE wanted.value = earlier.type)))) AS waits
    FROM (${range}) AS range
    CROSS JOIN webhook_endpoints AS endpoint ON endpoint.id = ?1 AND endpoint.merchant_id = ?2
    CROSS JOIN events AS event ON event.merchant_id = ?2 AND event.position >= range.first AND event.position < range.last
    CROSS JOIN payments ON payments.id = event.payment_id
    WHERE endpoint.disabled_at IS NULL AND endpoint.deleted_at IS NULL
    AND EXISTS (SELECT 1 FROM json_each(endpoint.types) AS wanted WHERE wanted.value = event.type)
  )
  WHERE true
  ON CONFLICT (endpoint_id, position) DO UPDATE SET state = excluded.state, next_attempt_at = excluded.next_attempt_at,
    failures = 0 WHERE webhook_deliveries.state NOT IN ('waiting', 'pending')
  RETURNING endpoint_id, position`;
  const later = putBack(`
    SELECT place.value FROM (${range}) AS range
    CROSS JOIN events AS event ON event.merchant_id = ?2 AND event.position >= range.first AND event.position < range.last
    CROSS JOIN payments ON payments.id = event.payment_id
    CROSS JOIN json_each(event_positions) AS place
    WHERE EXISTS (SELECT 1 FROM json_each(event_positions) AS before
      CROSS JOIN webhook_deliveries AS open ON open.endpoint_id = ?1 AND open.position = before.value
      WHERE before.value < place.value AND open.state IN ('waiting', 'pending'))`);
  const { rows } = await db.batch<DeliveryId | { last: number; beyond: number }>([
    db.prepare(sql).bind(endpointId, merchantId, after, from, to, now),
    db.prepare(later).bind(endpointId, merchantId, after, from, to),
    db.prepare(range).bind(endpointId, merchantId, after, from, to),
  ]);
  const ends = rows[2]?.find((row) => "beyond" in row);
  const replayed = (rows[0] ?? []).filter(isDeliveryId);
  return { replayed, end: ends && ends.last < ends.beyond ? ends.last - 1 : null };
}
