/**
 * The end of idempotency keys. Once a day a walk over all keys begins, in the order in which they are stored; runs of a
 * few steps each carry it on and end the keys that are older than the retention. An index by age would cost a row
 * written for each key; this costs a row or two read for each, once a day.
 *
 * A run is small, for D1 answers 50 statements of one invocation on Cloudflare's free plan, and other requests wait
 * while it works. There are 720 runs a day, which look at 23 million keys: a walk keeps up with 400,000 new keys a day,
 * which are 12 million in 30 days, in some 13 hours.
 */
import { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";

/** Keys looked at in one step: some ten milliseconds of D1, between which requests have their turn. */
const KEYS_PER_STEP = 2_000;
/** Steps of one run: with three statements each, and one to begin with, 49 statements. */
const STEPS_PER_RUN = 16;

const DAY_MS = 86_400_000;
/** So long after the beginning of a walk the next one begins; one that is not at its end by then is behind. */
const WALK_EVERY_MS = DAY_MS;

/** The days that keys are kept, or null for what is no number of days: then nothing is deleted. */
export function retentionDays(text: string): number | null {
  return /^[1-9]\d{0,3}$/.test(text) ? Number(text) : null;
}

interface Place {
  readonly merchant_id: number;
  readonly key: string;
}
const BEGINNING: Place = { merchant_id: 0, key: "" };

/** Beyond every key there is: a key is ASCII, and a merchant's id a safe integer. */
const END: Place = { merchant_id: Number.MAX_SAFE_INTEGER, key: "\u{10ffff}" };

/** What is walked, and what ends the keys of a step that are too old. */
interface Walk {
  readonly job: string;
  /** The columns of a place, and the rows that have one. */
  readonly place: readonly [merchantId: Sql, key: Sql];
  readonly rows: Sql;
  readonly end: (isTooOld: Sql) => Sql;
}

const WALKS: readonly Walk[] = [
  {
    job: "idempotency_keys",
    place: [raw("merchant_id"), raw("key")],
    rows: raw("idempotency_keys WHERE true"),
    end: (isTooOld) => sql`DELETE FROM idempotency_keys WHERE ${isTooOld} RETURNING 1 AS one`,
  },
  {
    // The events stay; their keys are free again.
    job: "account_events",
    place: [raw("actor_merchant_id"), raw("idempotency_key")],
    rows: raw("account_events WHERE idempotency_key IS NOT NULL"),
    end: (isTooOld) => sql`
      UPDATE account_events SET idempotency_key = NULL, fingerprint = NULL
      WHERE idempotency_key IS NOT NULL AND ${isTooOld} RETURNING 1 AS one`,
  },
];

/** How far a walk has come, as `job_positions` keeps it. */
interface Progress {
  /** The key that was looked at last; null when the walk is at its end. */
  readonly after: Place | null;
  readonly begun_at: number;
  /** When it was last said that the walk is behind. */
  readonly reported_at?: number;
}

/** A walk that takes more than a day. */
export interface Behind {
  readonly walk: string;
  readonly begun_at: string;
  readonly days_under_way: number;
}

export interface RetentionResult {
  steps: number;
  /** Keys that have ended. */
  deleted: number;
  /** Whether every walk is at its end. */
  finished: boolean;
  /** The walks that do not keep up; each is named once a day. */
  behind: Behind[];
}

/**
 * One run: ends idempotency keys that are older than so many days, from where the last run has stopped, up to the end
 * or the bound of one run. Nothing is done within a day of the beginning of a walk that has come to its end.
 */
export async function sweepIdempotencyKeys(d1: D1Database, days: number, now: number): Promise<RetentionResult> {
  const db = new Database(d1);
  const stored = await db.all<{ job: string; position: string }>(sql`SELECT job, position FROM job_positions`);
  const result: RetentionResult = { steps: 0, deleted: 0, finished: true, behind: [] };
  for (const walk of WALKS) {
    const position = stored.find(({ job }) => job === walk.job)?.position;
    const last: Progress | null = position === undefined ? null : JSON.parse(position);
    if (!(await carryOn(db, walk, last, result, now - days * DAY_MS, now))) result.finished = false;
  }
  return result;
}

/** Goes on with a walk, or begins one when it is time; whether it is at its end. */
async function carryOn(
  db: Database,
  walk: Walk,
  last: Progress | null,
  result: RetentionResult,
  before: number,
  now: number,
): Promise<boolean> {
  if (last?.after === null && now - last.begun_at < WALK_EVERY_MS) return true;
  let progress: Progress = last === null || last.after === null ? { after: BEGINNING, begun_at: now } : last;
  if (isBehind(progress, now)) {
    const begun_at = new Date(progress.begun_at).toISOString();
    const days_under_way = Math.floor((now - progress.begun_at) / DAY_MS);
    result.behind.push({ walk: walk.job, begun_at, days_under_way });
    progress = { ...progress, reported_at: now };
  }
  while (progress.after !== null) {
    if (result.steps === STEPS_PER_RUN) return false;
    const { next, deleted }: Step = await step(db, walk, progress, progress.after, before, now);
    result.steps++;
    result.deleted += deleted;
    progress = next;
  }
  return true;
}

function isBehind({ begun_at, reported_at }: Progress, now: number): boolean {
  return now - begun_at > WALK_EVERY_MS && (reported_at === undefined || now - reported_at >= DAY_MS);
}

interface Step {
  readonly next: Progress;
  readonly deleted: number;
}

/** Ends the keys behind a place that are too old, of as many as one step looks at. */
async function step(
  db: Database,
  { job, place, rows, end }: Walk,
  progress: Progress,
  after: Place,
  before: number,
  now: number,
): Promise<Step> {
  const [merchantId, key] = place;
  const isAhead = sql`(${merchantId}, ${key}) > (${after.merchant_id}, ${after.key})`;
  const [reached] = await db.all<Place>(sql`
    SELECT ${merchantId} AS merchant_id, ${key} AS key FROM ${rows} AND ${isAhead}
    ORDER BY ${merchantId}, ${key} LIMIT 1 OFFSET ${raw(String(KEYS_PER_STEP - 1))}`);
  const upTo = reached ?? END;
  const next: Progress = { ...progress, after: reached ?? null };
  // The place moves in the batch of the deletion: a step that runs twice, or is lost, does no harm.
  const { rows: ended } = await db.batch<[{ one: number }, never]>([
    end(sql`${isAhead} AND (${merchantId}, ${key}) <= (${upTo.merchant_id}, ${upTo.key}) AND created_at < ${before}`),
    sql`INSERT INTO job_positions (job, position, updated_at) VALUES (${job}, ${JSON.stringify(next)}, ${now})
      ON CONFLICT (job) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at`,
  ]);
  return { next, deleted: ended[0].length };
}
