import { eventType, INITIAL_STATUS, MAY_AUTHORIZE, STEPS } from "../src/payment/lifecycle.ts";

/** Events that leave a payment's status as it is. */
const SAME = [
  "payment.updated",
  "refund.created",
  "refund.succeeded",
  "refund.failed",
  "dispute.opened",
  "dispute.closed",
  "reconciliation.item_opened",
];

/** Every step that the lifecycle allows, as (status before, status after, event type) for SQL; `*` is any status. */
const LEGAL = [
  ...STEPS.filter(([from, to]) => from !== to).map(([from, to]) => `('${from}', '${to}', '${eventType(to)}')`),
  ...SAME.map((type) => `('*', '*', '${type}')`),
  // A refund of all fails later.
  "('refunded', 'confirmed', 'refund.failed')",
].join(", ");

/**
 * The invariants of the storage, in one query: a row for each violation, and none when all is well. D1 allows
 * a compound SELECT five terms, which are all used.
 * - every payment has events 1..version, the first its creation, each later one a step of the lifecycle
 * - replaying a payment's events, where it says they are, gives its row, from the metadata that it was created with
 * - refunded ≤ captured ≤ amount, and a payment is refunded exactly when all that it has captured is given back
 * - a merchant's events have the positions 1, 2, 3… without a gap, and are in the order of their times; each is of a
 *   payment, or of a webhook endpoint, of the merchant, and one of an endpoint is counted as stored
 * - as often as the trail says that the service has disabled an endpoint, the feed does
 * - payment_metadata holds exactly the pairs of every payment's metadata, the first 64 characters of their values, with
 *   the payment's merchant and time
 * - every idempotency key names an existing payment of its merchant (that it names one only, its table sees to)
 * - of a payment's operations one is open at most; each that is not settled is asked about later, and no other
 * - what is sealed of a payment is there while it may serve: an operation's request until it is settled, the means of payment
 *   until the money is authorised or nobody will ask for it
 * - a merchant's daily totals have counted exactly the events up to its cursor, each once
 * - no request is the cause of two events
 */
export const VIOLATIONS = `
WITH RECURSIVE
step (before, after, type) AS (VALUES ${LEGAL}),
replay (payment_id, sequence, state, at, legal) AS (
  SELECT payment_id, 1, json_set(data, '$.metadata', json(coalesce(original_metadata, metadata))), event.created_at,
    type = '${eventType(INITIAL_STATUS)}' AND data ->> 'status' = '${INITIAL_STATUS}'
  FROM payments JOIN events AS event
    ON event.merchant_id = payments.merchant_id AND event.position = event_positions ->> '$[0]'
    AND event.payment_id = payments.id AND event.sequence = 1
  UNION ALL
  SELECT replay.payment_id, event.sequence, json_patch(replay.state, event.data), event.created_at,
    replay.legal AND event.created_at >= replay.at AND EXISTS (
      SELECT 1 FROM step WHERE step.type = event.type AND (
        before = replay.state ->> 'status' AND after = json_patch(replay.state, event.data) ->> 'status'
        OR before = '*' AND replay.state ->> 'status' = json_patch(replay.state, event.data) ->> 'status'))
  FROM replay JOIN payments ON payments.id = replay.payment_id JOIN events AS event
    ON event.merchant_id = payments.merchant_id AND event.position = event_positions ->> ('$[' || replay.sequence || ']')
    AND event.payment_id = replay.payment_id AND event.sequence = replay.sequence + 1
),
newest AS (SELECT *, max(sequence) FROM replay GROUP BY payment_id),
counted AS (SELECT payment_id, count(*) AS events, max(sequence) AS newest FROM events GROUP BY payment_id),
checked AS (
  SELECT id, CASE
    WHEN version IS NOT counted.events OR version IS NOT counted.newest OR version IS NOT json_array_length(event_positions)
      THEN 'a payment has not the events 1..version'
    WHEN NOT legal THEN 'an event is not a step of the lifecycle'
    WHEN (order_id, reference, single, amount_minor, captured_minor, refunded_minor, held_minor, currency, status, failure, next_action, provider,
        provider_reference, capture_method, return_url, description, expires_at, version, updated_at)
      IS NOT (state ->> 'order_id', state ->> 'reference', ifnull(state ->> 'single', 0), state ->> 'amount_minor',
        ifnull(state ->> 'captured_minor', 0), ifnull(state ->> 'refunded_minor', 0), ifnull(state ->> 'held_minor', 0), state ->> 'currency', state ->> 'status',
        state ->> 'failure', state ->> 'next_action', state ->> 'provider', state ->> 'provider_reference',
        ifnull(state ->> 'capture_method', 'automatic'), state ->> 'return_url', state ->> 'description', state ->> 'expires_at',
        sequence, at)
      OR created_at IS NOT (SELECT event.created_at FROM events AS event
        WHERE event.merchant_id = payments.merchant_id AND event.position = event_positions ->> '$[0]')
      OR json_patch(metadata, state -> 'metadata') <> metadata OR json_patch(state -> 'metadata', metadata) <> state -> 'metadata'
      THEN 'replaying the events does not give the payment'
    WHEN NOT (0 <= refunded_minor AND refunded_minor <= captured_minor AND captured_minor <= amount_minor)
      THEN 'a payment has given back more than it has captured, or captured more than it is of'
    WHEN (status = 'refunded') IS NOT (refunded_minor > 0 AND refunded_minor = captured_minor)
      THEN 'a payment is refunded, and not all of it, or is not, and all of it'
    WHEN payment_method IS NOT NULL AND status NOT IN ('${MAY_AUTHORIZE.join("', '")}')
      THEN 'a payment keeps a means of payment that has served'
    WHEN EXISTS (SELECT 1 FROM json_each(metadata) AS pair WHERE NOT EXISTS (
      SELECT 1 FROM payment_metadata AS found WHERE found.merchant_id = payments.merchant_id AND found.name = pair.key
      AND found.prefix = substr(pair.value, 1, 64) AND found.created_at = payments.created_at AND found.payment_id = payments.id))
      THEN 'a payment is not found by its metadata'
    END AS violation
  FROM payments LEFT JOIN newest ON newest.payment_id = id LEFT JOIN counted ON counted.payment_id = id
),
feed AS (
  SELECT ifnull(payment_id, data ->> 'id') AS id, CASE
    WHEN payment_id IS NULL AND NOT EXISTS (
      SELECT 1 FROM webhook_endpoints WHERE id = events.data ->> 'id' AND merchant_id = events.merchant_id)
      THEN 'an event has no webhook endpoint of its merchant'
    WHEN payment_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM payments WHERE id = payment_id AND merchant_id = events.merchant_id)
      THEN 'an event has no payment of its merchant'
    WHEN position <> row_number() OVER feed THEN 'a merchant has a gap in its events'
    WHEN created_at < lag(created_at) OVER feed THEN 'events are not in the order of their times'
    WHEN payment_id IS NULL AND stored_bytes <= lag(stored_bytes, 1, 0) OVER feed THEN 'an event is not counted as stored'
    END AS violation
  FROM events WINDOW feed AS (PARTITION BY merchant_id ORDER BY position)
),
disabled AS (
  SELECT endpoint.id, endpoint.merchant_id, count(*) AS times FROM account_events AS trail
  JOIN webhook_endpoints AS endpoint ON endpoint.id = CAST(trail.subject AS INTEGER) AND endpoint.merchant_id = trail.merchant_id
  WHERE trail.type = 'webhook_endpoint.disabled' GROUP BY endpoint.id
),
asked AS (
  SELECT payment_id AS id, CASE
    WHEN (state IN ('open', 'unknown', 'pending')) <> (due_at IS NOT NULL)
      THEN 'an operation is asked about although it is settled, or is not and never will be'
    WHEN request IS NOT NULL AND state NOT IN ('open', 'unknown', 'pending') THEN 'a settled operation keeps its request'
    WHEN state IN ('open', 'unknown') AND EXISTS (SELECT 1 FROM operations AS other
      WHERE other.merchant_id = operations.merchant_id AND other.payment_id = operations.payment_id
      AND other.number <> operations.number AND other.state IN ('open', 'unknown'))
      THEN 'two operations of a payment are open'
    END AS violation
  FROM operations
),
counted_of AS (
  SELECT merchant_id,
    (SELECT json_array(count(*), total(type = 'payment.created'), total(type = 'payment.confirmed'), total(type = 'payment.failed'),
        total(type = 'payment.cancelled'), total(type = 'payment.expired'), total(ifnull(data ->> 'captured_minor', 0)))
      FROM events WHERE events.merchant_id = cursor.merchant_id AND events.position <= cursor.position) AS told,
    (SELECT json_array(cursor.position, total(created), total(confirmed), total(failed), total(cancelled), total(expired),
        total(captured_minor))
      FROM daily_totals WHERE daily_totals.merchant_id = cursor.merchant_id) AS stored
  FROM totals_cursors AS cursor
),
unlike AS (
  SELECT violation, id FROM asked WHERE violation IS NOT NULL
  UNION ALL
  SELECT violation, id FROM feed WHERE violation IS NOT NULL
  UNION ALL
  SELECT 'the feed and the trail differ on an endpoint that was disabled', id FROM disabled
  WHERE times <> (SELECT count(*) FROM events WHERE events.merchant_id = disabled.merchant_id
    AND type = 'webhook_endpoint.disabled' AND data ->> 'id' = disabled.id)
  UNION ALL
  SELECT 'the daily totals are not the sums of the events up to their cursor', merchant_id FROM counted_of
    WHERE told IS NOT stored
)
SELECT violation, id FROM checked WHERE violation IS NOT NULL
UNION ALL
SELECT violation, id FROM unlike
UNION ALL
SELECT 'metadata finds a payment that has it not', payment_id FROM payment_metadata AS found
  WHERE NOT EXISTS (SELECT 1 FROM payments, json_each(payments.metadata) AS pair
    WHERE payments.id = found.payment_id AND payments.merchant_id = found.merchant_id
    AND payments.created_at = found.created_at AND pair.key = found.name
    AND substr(pair.value, 1, 64) = found.prefix)
UNION ALL
SELECT 'a key names no payment of its merchant', payment_id FROM idempotency_keys AS k
  WHERE NOT EXISTS (SELECT 1 FROM payments WHERE id = k.payment_id AND merchant_id = k.merchant_id)
UNION ALL
SELECT 'a request made two payments, or two changes', max(payment_id) FROM events
  WHERE commit_id IS NOT NULL GROUP BY commit_id HAVING count(*) > 1
`;
