/**
 * The end of payments that nobody completes. Each minute a run ends those whose time is over, the longest over first: a few
 * hundred in each step, between which requests have their turn, and some thousand in a run. The next run goes on with what
 * is left. A payment that is confirmed at the same time is either confirmed or expired: the statement that ends it
 * demands that it is still open.
 */
import { type DeliveryMessage, insertDeliveriesOfPayments, type OwnedDelivery, queueMany } from "../outbox/outbox";
import { EXPIRING, eventType } from "../payment/lifecycle";
import { FAILURES, type Failure } from "../provider/failures";
import { commitTime } from "../storage/clock";
import { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";

/** Payments ended in one step: some ten milliseconds of D1. */
const PAYMENTS_PER_STEP = 200;
/** Steps of one run: with four statements each, 40 of the 50 that an invocation has on Cloudflare's free plan. */
const STEPS_PER_RUN = 10;

const FAILURE: Failure = { code: "expired", decline_code: null, message: FAILURES.expired };

/** What the expiry of a payment stores, in bytes: its event, and why in its row. */
const EXPIRY_BYTES = 180 + 2 * JSON.stringify(FAILURE).length;

export interface ExpiryResult {
  steps: number;
  /** Payments that were ended. */
  expired: number;
  /** Whether none is left whose time is over. */
  finished: boolean;
}

/**
 * One run: ends payments whose time is over, with their events and deliveries, and has their endpoints woken. Running it
 * again does nothing.
 *
 * @param now the time of a machine whose clock may be wrong: none is ended that D1's clock, with some leeway, does not have over
 * @throws Outage when D1 is out of reach; what was ended before stays so
 */
export async function expirePayments(
  d1: D1Database,
  queue: Queue<DeliveryMessage>,
  now: number,
): Promise<ExpiryResult> {
  const db = new Database(d1);
  const runId = crypto.randomUUID();
  const result: ExpiryResult = { steps: 0, expired: 0, finished: false };
  const deliveries: OwnedDelivery[] = [];
  try {
    while (!result.finished && result.steps < STEPS_PER_RUN) {
      const due = await findDue(db, now);
      result.finished = due.length < PAYMENTS_PER_STEP;
      if (due.length === 0) break;
      const ended = await endPayments(db, due, { requestId: runId, commitId: `${runId} ${result.steps}` }, now);
      result.steps++;
      result.expired += ended.expired;
      deliveries.push(...ended.deliveries);
    }
  } finally {
    await queueMany(queue, deliveries, { request_id: runId });
  }
  return result;
}

/** Whether a payment's time is over, for the payments that end here: of those at a provider, the provider is asked first. */
const isDue = (now: number): Sql =>
  sql`payments.expiry_due_at <= ${commitTime(now)} AND payments.provider = 'internal'
    AND payments.status IN (${raw(`'${EXPIRING.join("', '")}'`)})`;

/** The next payments whose time is over. One round trip. */
async function findDue(db: Database, now: number): Promise<number[]> {
  // Payments at a provider are in the index too. Whoever hands them to their objects moves their `expiry_due_at` on, so that
  // they do not pile up in front of these.
  const due = await db.all<{ id: number }>(sql`
    SELECT id FROM payments INDEXED BY payments_expiring WHERE ${isDue(now)} ORDER BY expiry_due_at LIMIT ${PAYMENTS_PER_STEP}`);
  return due.map(({ id }) => id);
}

interface RunOrigin {
  readonly requestId: string;
  /** Names the step; the commit of each payment is named after it. */
  readonly commitId: string;
}

/** Ends those of some payments whose time is still over, in one batch. */
async function endPayments(
  db: Database,
  ids: readonly number[],
  { requestId, commitId }: RunOrigin,
  now: number,
): Promise<{ expired: number; deliveries: readonly OwnedDelivery[] }> {
  // The order of the tables is kept; a merchant's newest event is found in its place.
  const chosen = sql`json_each(${JSON.stringify(ids)}) AS chosen CROSS JOIN payments ON payments.id = chosen.value`;
  const newest = raw(`CROSS JOIN events AS newest ON newest.merchant_id = payments.merchant_id AND newest.position = (
      SELECT position FROM events WHERE merchant_id = payments.merchant_id ORDER BY position DESC LIMIT 1)`);
  const ownCommit = sql`${commitId} || ' payment ' || payments.id`;

  const end = sql`
    UPDATE payments SET status = 'expired', failure = ${JSON.stringify(FAILURE)}, next_action = NULL, expiry_due_at = NULL,
      version = version + 1, updated_at = max(${commitTime(now)}, due.newest_at),
      event_positions = json_insert(event_positions, '$[#]', due.position)
    FROM (
      SELECT payments.id, newest.created_at AS newest_at,
        newest.position + row_number() OVER (PARTITION BY payments.merchant_id ORDER BY payments.id) AS position
      FROM ${chosen} ${newest} WHERE ${isDue(now)}) AS due
    WHERE payments.id = due.id
    RETURNING payments.id`;
  // Of the payments that were ended just now: their event is where they say, and not there yet.
  const events = sql`
    INSERT INTO events
      (merchant_id, position, payment_id, sequence, type, data, request_id, commit_id, created_at, stored_bytes)
    SELECT payments.merchant_id, event_positions ->> '$[#-1]', payments.id, version, ${eventType("expired")},
      json_object('status', status, 'failure', failure), ${requestId}, ${ownCommit}, updated_at,
      newest.stored_bytes + ${raw(String(EXPIRY_BYTES))}
        * row_number() OVER (PARTITION BY payments.merchant_id ORDER BY event_positions ->> '$[#-1]')
    FROM ${chosen} ${newest}
    WHERE status = 'expired' AND NOT EXISTS (SELECT 1 FROM events AS own
      WHERE own.merchant_id = payments.merchant_id AND own.position = event_positions ->> '$[#-1]')`;
  const deliver = insertDeliveriesOfPayments(chosen, ownCommit, now);
  const { rows } = await db.batch<[{ id: number }, never, OwnedDelivery]>([end, events, deliver]);
  const [ended, , deliveries] = rows;
  return { expired: ended.length, deliveries };
}
