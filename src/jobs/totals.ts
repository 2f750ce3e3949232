/**
 * Counting what nobody has asked for. Once a day a walk over all merchants begins, in the order of their ids, and counts the next events
 * of each that has some: one step of each, so that no merchant waits for all the events of another. While some were left, the
 * next walk begins where this one has ended, without waiting for its day.
 *
 * A run is small, for D1 answers 50 statements of one invocation on Cloudflare's free plan. There are 288 runs a day, which count 2.5
 * million events and look at 1.4 million merchants.
 */
import { catchUp } from "../statistics/catch-up";
import { Database } from "../storage/database";
import { logError } from "../storage/log";
import { Outage } from "../storage/outage";
import { sql } from "../storage/sql";

const JOB = "daily_totals";

/** Merchants looked at in one round trip: three rows each. */
const MERCHANTS_PER_LOOK = 1_000;
/** Looks and steps of one run: with two statements each look, four each step, and two for the place of the walk, 48 statements. */
const LOOKS_PER_RUN = 5;
const STEPS_PER_RUN = 9;

const WALK_EVERY_MS = 86_400_000;

/** How far the walk has come, as `job_positions` keeps it. */
interface Progress {
  /** The merchant that was looked at last; null when the walk is at its end. */
  readonly after: number | null;
  readonly begun_at: number;
  /** Whether a merchant of this walk has more events than one step counts. */
  readonly has_more: boolean;
}

export interface CountResult {
  /** Merchants whose next events were counted. */
  steps: number;
  events: number;
  /** Merchants whose events could not be counted. */
  failed: number;
  /** Whether the walk is at its end, and has left nothing. */
  finished: boolean;
}

/**
 * One run: counts events of merchants from where the last run has stopped, up to the end or the bound of one run. Safe to run twice: what
 * is counted is not counted again.
 *
 * @throws Outage when D1 is out of reach; what was counted before stays so
 */
export async function countForAll(d1: D1Database, now: number): Promise<CountResult> {
  const db = new Database(d1);
  const result: CountResult = { steps: 0, events: 0, failed: 0, finished: false };
  const [stored] = await db.all<{ position: string }>(sql`SELECT position FROM job_positions WHERE job = ${JOB}`);
  const last: Progress | null = stored === undefined ? null : JSON.parse(stored.position);
  if (last?.after === null && !last.has_more && now - last.begun_at < WALK_EVERY_MS)
    return { ...result, finished: true };

  const begun = last === null || last.after === null ? { begun_at: now, has_more: false } : last;
  let hasMore = begun.has_more;
  let after: number | null = last?.after ?? 0;
  for (let looks = 0; after !== null && looks < LOOKS_PER_RUN && result.steps < STEPS_PER_RUN; looks++) {
    const room = STEPS_PER_RUN - result.steps;
    const { reached, behind }: Look = await look(db, after, room);
    for (const merchantId of behind) {
      result.steps++;
      const counted = await countFor(db, merchantId);
      if (counted === null) result.failed++;
      result.events += counted?.events ?? 0;
      // One that fails is for the next day's walk: it would have each begin at once.
      if (counted?.isComplete === false) hasMore = true;
    }
    // Where there was no room for more, the next run looks on from the last one that there was room for.
    after = behind.length === room ? (behind.at(-1) ?? null) : reached;
  }
  const progress: Progress = { after, begun_at: begun.begun_at, has_more: hasMore };
  await db.all(sql`
    INSERT INTO job_positions (job, position, updated_at) VALUES (${JOB}, ${JSON.stringify(progress)}, ${now})
    ON CONFLICT (job) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at`);
  return { ...result, finished: after === null && !hasMore };
}

interface Look {
  /** The last merchant that was looked at; null when there are no more. */
  readonly reached: number | null;
  /** Those of them that have events which are not counted: the first ones, as many as there is room for. */
  readonly behind: readonly number[];
}

/** Looks at the next merchants. One round trip. */
async function look(db: Database, after: number, room: number): Promise<Look> {
  const next = sql`SELECT id FROM merchants WHERE id > ${after} ORDER BY id LIMIT ${MERCHANTS_PER_LOOK}`;
  const { rows } = await db.batch<[{ count: number; last: number | null }, { id: number }]>([
    sql`SELECT count(*) AS count, max(id) AS last FROM (${next})`,
    sql`SELECT id FROM (${next}) AS merchant
      WHERE (SELECT max(position) FROM events WHERE merchant_id = id)
        > coalesce((SELECT position FROM totals_cursors WHERE merchant_id = id), 0)
      ORDER BY id LIMIT ${room}`,
  ]);
  const [[window], behind] = rows;
  const isLast = window === undefined || window.count < MERCHANTS_PER_LOOK;
  return { reached: isLast ? null : window.last, behind: behind.map(({ id }) => id) };
}

/** Counts the next events of a merchant; null when that fails, which is no reason not to count those of the others. */
async function countFor(db: Database, merchantId: number): Promise<{ isComplete: boolean; events: number } | null> {
  try {
    return await catchUp(db, merchantId);
  } catch (error) {
    if (error instanceof Outage) throw error;
    logError({ message: "events not counted", merchant_id: merchantId, error: String(error) });
    return null;
  }
}
