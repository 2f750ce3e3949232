/**
 * The end of idempotency keys: a job that a cron starts every day. It walks all keys in the order in which
 * they are stored, a step at a time, and ends those that are older than the retention. An index by age would
 * cost a row written for each key; this costs a row read for each, once in a while.
 */
import { Database } from "../storage/database";

/** Keys looked at in one step: some milliseconds of D1, between which requests have their turn. */
export const KEYS_PER_STEP = 1_000;
/** Steps of one run, within what a Worker may ask of D1 in one; the next run goes on from there. */
const STEPS_PER_RUN = 400;

const DAY_MS = 86_400_000;

/** The days that keys are kept, or null for what is no number of days: then nothing is deleted. */
export function retentionDays(text: string): number | null {
  return /^[1-9]\d{0,3}$/.test(text) ? Number(text) : null;
}

type Place = [merchantId: number, key: string];
const BEGINNING: Place = [0, ""];

/** Beyond every key there is: a key is ASCII, and a merchant's id a safe integer. */
const END: Place = [Number.MAX_SAFE_INTEGER, "\u{10ffff}"];

/** What is walked, and what is done to the keys of a step that are too old: between two places, ?1 to ?4, and ?5. */
interface Walk {
  readonly job: string;
  readonly keys: string;
  readonly end: string;
}

const WITHIN = "(merchant_id, key) > (?1, ?2) AND (merchant_id, key) <= (?3, ?4)";
const WALKS: readonly Walk[] = [
  {
    job: "idempotency_keys",
    keys: "SELECT merchant_id, key FROM idempotency_keys",
    end: `DELETE FROM idempotency_keys WHERE ${WITHIN} AND created_at < ?5 RETURNING 1 AS one`,
  },
  {
    // The events stay; their keys are free again.
    job: "account_events",
    keys: `
  SELECT actor_merchant_id AS merchant_id, idempotency_key AS key FROM account_events WHERE idempotency_key IS NOT NULL`,
    end: `
  UPDATE account_events SET idempotency_key = NULL, fingerprint = NULL WHERE idempotency_key IS NOT NULL
  AND ${WITHIN.replaceAll("(merchant_id, key)", "(actor_merchant_id, idempotency_key)")} AND created_at < ?5
  RETURNING 1 AS one`,
  },
];

// The place moves in the batch of the deletion: a step that runs twice, or is lost, does no harm.
const MOVE = `
  INSERT INTO job_positions (job, position, updated_at) VALUES (?1, ?2, ?3)
  ON CONFLICT (job) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at`;

export interface RetentionResult {
  steps: number;
  /** Keys that have ended. */
  deleted: number;
  /** Whether every walk has come to its end; the next run begins anew. */
  finished: boolean;
}

/**
 * Ends the idempotency keys that are older than so many days, from where the last run has stopped, up to the
 * end or the bound of one run.
 */
export async function sweepIdempotencyKeys(d1: D1Database, days: number, now: number): Promise<RetentionResult> {
  const db = new Database(d1);
  const sweep: RetentionResult = { steps: 0, deleted: 0, finished: false };
  for (const walk of WALKS) {
    sweep.finished = await run(db, walk, sweep, now - days * DAY_MS, now);
    if (!sweep.finished) break;
  }
  return sweep;
}

/** Goes on with one walk; whether it has come to its end. */
async function run(
  db: Database,
  { job, keys, end }: Walk,
  sweep: RetentionResult,
  before: number,
  now: number,
): Promise<boolean> {
  const position = db.prepare("SELECT position FROM job_positions WHERE job = ?").bind(job);
  const [stored] = await db.all<{ position: string }>(position);
  let place: Place = stored ? JSON.parse(stored.position) : BEGINNING;
  while (sweep.steps < STEPS_PER_RUN) {
    const ahead = `SELECT * FROM (${keys}) WHERE (merchant_id, key) > (?1, ?2) ORDER BY merchant_id, key LIMIT 1 OFFSET ?3 - 1`;
    const [last] = await db.all<{ merchant_id: number; key: string }>(db.prepare(ahead).bind(...place, KEYS_PER_STEP));
    const upTo: Place = last ? [last.merchant_id, last.key] : END;
    const next = last ? upTo : BEGINNING;
    const { rows } = await db.batch([
      db.prepare(end).bind(...place, ...upTo, before),
      db.prepare(MOVE).bind(job, JSON.stringify(next), now),
    ]);
    sweep.steps++;
    sweep.deleted += rows[0]?.length ?? 0;
    place = next;
    if (!last) return true;
  }
  return false;
}
