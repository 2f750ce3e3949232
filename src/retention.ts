/**
 * The end of idempotency keys: a job that a cron starts every day. It walks all keys in the order in which
 * they are stored, a step at a time, and deletes those that are older than the retention. An index by age
 * would cost a row written for each key; this costs a row read for each, once in a while.
 */
import { Database } from "./database";

const JOB = "idempotency_keys";
/** Keys looked at in one step: some milliseconds of D1, between which requests have their turn. */
export const STEP = 1_000;
/** Steps of one run, within what a Worker may ask of D1 in one; the next run goes on from there. */
const STEPS_PER_RUN = 400;

const DAY = 86_400_000;

/** The days that keys are kept, or null for what is no number of days: then nothing is deleted. */
export function retentionDays(text: string): number | null {
  return /^[1-9]\d{0,3}$/.test(text) ? Number(text) : null;
}

type Place = [merchantId: number, key: string];
const BEGINNING: Place = [0, ""];

/** Beyond every key there is: a key is ASCII, and a merchant's id a safe integer. */
const END: Place = [Number.MAX_SAFE_INTEGER, "\u{10ffff}"];

export interface Sweep {
  steps: number;
  deleted: number;
  /** Whether the walk has come to the end; the next one begins anew. */
  finished: boolean;
}

const LAST = `
  SELECT merchant_id, key FROM idempotency_keys WHERE (merchant_id, key) > (?1, ?2)
  ORDER BY merchant_id, key LIMIT 1 OFFSET ?3 - 1`;
// The place moves in the batch of the deletion: a step that runs twice, or is lost, does no harm.
const DELETE = `
  DELETE FROM idempotency_keys
  WHERE (merchant_id, key) > (?1, ?2) AND (merchant_id, key) <= (?3, ?4) AND created_at < ?5 RETURNING 1 AS one`;
const MOVE = `
  INSERT INTO job_positions (job, position, updated_at) VALUES (?1, ?2, ?3)
  ON CONFLICT (job) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at`;
const END_ACCOUNT_KEYS = `
  UPDATE account_events SET idempotency_key = NULL, fingerprint = NULL WHERE id IN (
    SELECT id FROM account_events WHERE idempotency_key IS NOT NULL AND created_at < ?1 LIMIT ?2)`;

/**
 * Deletes the idempotency keys that are older than so many days, from where the last run has ended, up to
 * the end or the bound of one run.
 */
export async function sweepIdempotencyKeys(d1: D1Database, days: number, now: number): Promise<Sweep> {
  const db = new Database(d1);
  const before = now - days * DAY;
  await db.all(db.prepare(END_ACCOUNT_KEYS).bind(before, STEP));
  const [stored] = await db.all<{ position: string }>(
    db.prepare("SELECT position FROM job_positions WHERE job = ?").bind(JOB),
  );
  const sweep: Sweep = { steps: 0, deleted: 0, finished: false };
  let place: Place = stored ? JSON.parse(stored.position) : BEGINNING;
  while (sweep.steps < STEPS_PER_RUN && !sweep.finished) {
    const [last] = await db.all<{ merchant_id: number; key: string }>(db.prepare(LAST).bind(...place, STEP));
    const upTo: Place = last ? [last.merchant_id, last.key] : END;
    const next = last ? upTo : BEGINNING;
    const { rows } = await db.batch([
      db.prepare(DELETE).bind(...place, ...upTo, before),
      db.prepare(MOVE).bind(JOB, JSON.stringify(next), now),
    ]);
    sweep.steps++;
    sweep.deleted += rows[0]?.length ?? 0;
    sweep.finished = last === undefined;
    place = next;
  }
  return sweep;
}
