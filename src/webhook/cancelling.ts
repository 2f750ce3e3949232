/**
 * Cancelling open deliveries, in steps: all of an endpoint that is disabled or deleted, and after a change of its
 * types those that it no longer receives. What the request has no time for, the endpoint's object goes on with.
 */
import { joinLine, receives } from "../outbox/outbox";
import type { Database } from "../storage/database";
import { sql } from "../storage/sql";
import type { EndpointId } from "./deliveries";

/** Pending deliveries of one step, each with what waits behind it: some milliseconds of D1. */
const DELIVERIES_PER_STEP = 500;

export interface CancelResult {
  readonly cancelled: number;
  /** Whether nothing is left to cancel. */
  readonly finished: boolean;
}

/**
 * Cancels open deliveries of an endpoint that is disabled or deleted; those of a payment go together, and one that is of none by itself. Of one that is
 * enabled again meanwhile, none. One round trip.
 */
async function cancelAllStep(db: Database, { merchantId, endpointId }: EndpointId): Promise<CancelResult> {
  const cancelled = await db.all(sql`
  UPDATE webhook_deliveries SET state = 'cancelled', next_attempt_at = NULL
  WHERE endpoint_id = ${endpointId} AND state IN ('waiting', 'pending') AND position IN (
    SELECT place.value FROM (
      SELECT position FROM webhook_deliveries INDEXED BY webhook_deliveries_due
      WHERE endpoint_id = ${endpointId} AND next_attempt_at IS NOT NULL LIMIT ${DELIVERIES_PER_STEP}) AS chosen
    JOIN webhook_endpoints AS endpoint ON endpoint.id = ${endpointId} AND endpoint.merchant_id = ${merchantId}
      AND (endpoint.disabled_at IS NOT NULL OR endpoint.deleted_at IS NOT NULL)
    JOIN events AS event ON event.merchant_id = endpoint.merchant_id AND event.position = chosen.position
    ${joinLine("event")})
  RETURNING position`);
  return { cancelled: cancelled.length, finished: cancelled.length < DELIVERIES_PER_STEP };
}

/** Cancels all that is open of an endpoint that is disabled or deleted, in so many steps at most. */
export async function cancelAll(db: Database, endpoint: EndpointId, maxSteps: number): Promise<CancelResult> {
  let [cancelled, finished] = [0, false];
  for (let n = 0; n < maxSteps && !finished; n++) {
    const step = await cancelAllStep(db, endpoint);
    cancelled += step.cancelled;
    finished = step.finished;
  }
  return { cancelled, finished };
}

/** How far a walk through an endpoint's pending deliveries has come; they are walked in the order of their times. */
export interface Walk {
  /** The change that the walk is for: another change begins another walk. */
  readonly types_changed_at: number;
  readonly next_attempt_at: number;
  readonly position: number;
}

/**
 * Looks through the next pending deliveries of an endpoint whose types have changed: cancels what is open of their
 * payments and of a type that the endpoint no longer receives, and has what waited behind it go on. A pending delivery
 * that is not reached yet only moves to a later time, so that the walk meets it. Two round trips.
 *
 * @returns where to go on, or that nothing is left to cancel, which is then noted
 */
async function cancelUnwantedStep(db: Database, { merchantId, endpointId }: EndpointId, walk: Walk, now: number) {
  const chosen = await db.all<{ position: number; next_attempt_at: number }>(sql`
  SELECT position, next_attempt_at FROM webhook_deliveries INDEXED BY webhook_deliveries_due
  WHERE endpoint_id = ${endpointId} AND next_attempt_at IS NOT NULL
  AND (next_attempt_at, position) > (${walk.next_attempt_at}, ${walk.position})
  ORDER BY next_attempt_at, position LIMIT ${DELIVERIES_PER_STEP}`);
  const places = sql`json_each(${JSON.stringify(chosen.map(({ position }) => position))}) AS chosen
    CROSS JOIN webhook_endpoints AS endpoint ON endpoint.id = ${endpointId} AND endpoint.merchant_id = ${merchantId}
    CROSS JOIN events AS event ON event.merchant_id = endpoint.merchant_id AND event.position = chosen.value
    ${joinLine("event")}`;
  const isLast = chosen.length < DELIVERIES_PER_STEP;
  const { rows } = await db.batch<object>([
    sql`
  UPDATE webhook_deliveries SET state = 'cancelled', next_attempt_at = NULL
  WHERE endpoint_id = ${endpointId} AND state IN ('waiting', 'pending') AND position IN (
    SELECT its.position FROM ${places}
    CROSS JOIN events AS its ON its.merchant_id = endpoint.merchant_id AND its.position = place.value
    WHERE NOT ${receives("its.type")})
  RETURNING position`,
    sql`
  UPDATE webhook_deliveries SET state = 'pending', next_attempt_at = ${now}
  WHERE endpoint_id = ${endpointId} AND state = 'waiting' AND position IN (
    SELECT min(open.position) FROM ${places}
    CROSS JOIN webhook_deliveries AS open ON open.endpoint_id = endpoint.id AND open.position = place.value
    WHERE open.state IN ('waiting', 'pending') GROUP BY payments.id)`,
    ...(isLast
      ? [
          sql`
  UPDATE webhook_endpoints SET types_changed_at = NULL
  WHERE id = ${endpointId} AND merchant_id = ${merchantId} AND types_changed_at = ${walk.types_changed_at}`,
        ]
      : []),
  ]);
  return { cancelled: rows[0]?.length ?? 0, finished: isLast, walk: { ...walk, ...chosen.at(-1) } };
}

/** Cancels what is open of types that an endpoint no longer receives, from a place on, in so many steps at most. */
export async function cancelUnwanted(
  db: Database,
  endpoint: EndpointId,
  begin: Walk,
  maxSteps: number,
  now: number,
): Promise<CancelResult & { walk: Walk }> {
  let [cancelled, finished, walk] = [0, false, begin];
  for (let n = 0; n < maxSteps && !finished; n++) {
    const step = await cancelUnwantedStep(db, endpoint, walk, now);
    cancelled += step.cancelled;
    ({ finished, walk } = step);
  }
  return { cancelled, finished, walk };
}

/** The beginning of the walk that a change of types needs. */
export function walkOf(types_changed_at: number): Walk {
  return { types_changed_at, next_attempt_at: 0, position: 0 };
}
