/** Reconciliation runs as they are stored: the statements that begin, find and list them, and that move one on. */
import type { InferSelectModel } from "drizzle-orm";
import { applyChange, type ChangeResult } from "../account/trail";
import type { Origin } from "../context";
import { type Page, pageOf, type Window } from "../http/pages";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { columnsOf, join, raw, type Sql, sql } from "../storage/sql";
import type { reconciliationRuns } from "./tables";

/** A row; times in milliseconds, `progress` and `items` as JSON. */
export type RunRow = InferSelectModel<typeof reconciliationRuns>;

/** What a run does: it lists, asks for what was not listed, looks again at what differs, and wipes what it has noted. */
const PHASES = ["payments", "refunds", "disputes", "own", "looks", "wipe"] as const;
export type Phase = (typeof PHASES)[number];

/** How far a run has come. */
export interface Progress {
  readonly phase: Phase;
  /** Of a listing: what its page before said; null for the first page. */
  readonly cursor: string | null;
  /** Of what was not listed: the events of the time that are still to be gone through, by their positions. */
  readonly events: { readonly after: number; readonly upTo: number } | null;
  /** How often the provider gave no answer, one time after the other. */
  readonly misses: number;
}

const BEGINNING: Progress = { phase: "payments", cursor: null, events: null, misses: 0 };

const DAY_MS = 86_400_000;
/** What a run looks at once more of the one before: what was late to be listed is seen then. */
const OVERLAP_MS = DAY_MS;
/** How far the first run of an account goes back. */
const FIRST_WINDOW_MS = 7 * DAY_MS;
/** The most that one run goes through. */
export const MAX_WINDOW_MS = 31 * DAY_MS;

const RUN_COLUMNS = columnsOf<RunRow>(
  {
    id: true,
    merchant_id: true,
    account_id: true,
    source: true,
    key_id: true,
    from_at: true,
    to_at: true,
    state: true,
    progress: true,
    position: true,
    compared: true,
    differing: true,
    items: true,
    due_at: true,
    failing_since: true,
    failure: true,
    started_at: true,
    finished_at: true,
  },
  "reconciliation_runs",
);

/**
 * From when on an account is to be compared, as SQL: from a day before the end of the last run that the service began and that has come
 * to its end, so that nothing is left out between two of them.
 */
const fromOf = (account: Sql, now: number): Sql => sql`max(${now - MAX_WINDOW_MS}, coalesce(
    (SELECT max(to_at) - ${OVERLAP_MS} FROM reconciliation_runs AS done
      WHERE done.account_id = ${account} AND done.state = 'done' AND done.source = 'service'),
    ${now - FIRST_WINDOW_MS}))`;

/** Whether no run of an account is under way, as SQL. */
const isFree = (account: Sql): Sql => sql`NOT EXISTS (SELECT 1 FROM reconciliation_runs AS running
    WHERE running.account_id = ${account} AND running.finished_at IS NULL)`;

const INSERT = raw(`INSERT INTO reconciliation_runs
    (merchant_id, account_id, source, key_id, from_at, to_at, state, progress, due_at, started_at)`);

/** When an account is compared from, unless a request says it; in milliseconds. One round trip. */
export async function findFrom(db: Database, accountId: number, now: number): Promise<number> {
  const [found] = await db.all<{ from_at: number }>(
    sql`SELECT CAST(${fromOf(sql`${accountId}`, now)} AS INTEGER) AS from_at`,
  );
  if (found === undefined) throw new Error("A query without FROM returned no row");
  return found.from_at;
}

/**
 * Begins a run of an account, as a request asks; `unchanged` when one is under way, or the account is disabled. One round trip.
 *
 * @param account its id and its name
 */
export function startRun(
  db: Database,
  origin: Origin,
  idempotency: Idempotency | null,
  account: { readonly id: number; readonly name: string },
  { from, to }: { readonly from: number; readonly to: number },
): Promise<ChangeResult> {
  const { merchantId, keyId, now } = origin;
  return applyChange(db, origin, idempotency, {
    type: "reconciliation_run.started",
    first: (mayApply) => sql`
  ${INSERT}
  SELECT ${merchantId}, account.id, 'request', ${keyId}, ${from}, ${to}, 'running', ${JSON.stringify(BEGINNING)}, ${now}, ${now}
  FROM provider_accounts AS account WHERE account.id = ${account.id} AND account.merchant_id = ${merchantId}
    AND account.disabled_at IS NULL AND ${isFree(raw("account.id"))} AND ${mayApply}`,
    subject: sql`SELECT merchant_id, CAST(id AS TEXT) FROM reconciliation_runs WHERE id = last_insert_rowid()`,
    data: { account: account.name, from_at: from, to_at: to },
  });
}

/**
 * Begins runs of some accounts that are enabled, as a statement; an account with a run under way goes on with that one.
 *
 * @param accounts a query for ids, in a column `id`
 */
export const startRuns = (accounts: Sql, now: number): Sql => sql`
    ${INSERT}
    SELECT account.merchant_id, account.id, 'service', NULL, CAST(${fromOf(raw("account.id"), now)} AS INTEGER), ${now}, 'running',
      ${JSON.stringify(BEGINNING)}, ${now}, ${now}
    FROM (${accounts}) AS chosen CROSS JOIN provider_accounts AS account ON account.id = chosen.id
      CROSS JOIN merchants AS owner ON owner.id = account.merchant_id
    WHERE account.disabled_at IS NULL AND owner.disabled_at IS NULL AND ${isFree(raw("account.id"))}
    ON CONFLICT DO NOTHING RETURNING id`;

/** Reads a run of a merchant's account; null when there is none. One round trip. */
export async function findRun(db: Database, merchantId: number, accountId: number, id: number): Promise<RunRow | null> {
  const [run] = await db.all<RunRow>(sql`
    SELECT ${RUN_COLUMNS} FROM reconciliation_runs WHERE id = ${id} AND account_id = ${accountId} AND merchant_id = ${merchantId}`);
  return run ?? null;
}

/** A page of the runs of a merchant's account, newest first. One round trip. */
export async function listRuns(
  db: Database,
  merchantId: number,
  accountId: number,
  window: Window,
): Promise<Page<RunRow>> {
  const { position, backward, limit } = window;
  const filters: Sql[] = [sql`account_id = ${accountId} AND merchant_id = ${merchantId}`];
  if (position) {
    filters.push(sql`(started_at, id) ${raw(backward ? ">" : "<")} (${position.at}, ${position.id})`);
  }
  const order = raw(backward ? "ASC" : "DESC");
  const found = await db.all<RunRow>(sql`
    SELECT ${RUN_COLUMNS} FROM reconciliation_runs WHERE ${join(filters, " AND ")}
    ORDER BY started_at ${order}, id ${order} LIMIT ${limit + 1}`);
  return pageOf(window, found, ({ started_at, id }) => ({ at: started_at, id }));
}

/**
 * Takes the next run that is due, for a time in which nobody else takes it; null when none is. One round trip. Who held it before
 * cannot move it on any more.
 */
export async function takeRun(db: Database, now: number, holdMs: number): Promise<RunRow | null> {
  const [run] = await db.all<RunRow>(sql`
    UPDATE reconciliation_runs SET due_at = ${now + holdMs}, position = position + 1
    WHERE id = (SELECT id FROM reconciliation_runs WHERE due_at <= ${now} ORDER BY due_at LIMIT 1) AND due_at <= ${now}
    RETURNING ${RUN_COLUMNS}`);
  return run ?? null;
}

/** Whether a run is where it was read, as SQL: nothing is written of a step that another has done. */
export const isAt = ({ id, position }: RunRow): Sql =>
  sql`EXISTS (SELECT 1 FROM reconciliation_runs AS held WHERE held.id = ${id} AND held.position = ${position})`;

/** What a step changes of its run; what is left out stays. */
export type RunChange = Partial<
  Pick<RunRow, "state" | "compared" | "items" | "failing_since" | "failure" | "finished_at">
> & {
  readonly progress: Progress;
  readonly due_at?: number | Sql;
};

/**
 * Moves a run on, as a statement.
 *
 * @param differing how many things more it has found to differ, as SQL
 */
export function moveRun(run: RunRow, { progress, ...change }: RunChange, differing: Sql = raw("0")): Sql {
  const sets = Object.entries(change).map(([column, value]) => sql`${raw(column)} = ${value}`);
  return sql`
    UPDATE reconciliation_runs SET ${join(
      [
        raw("position = position + 1"),
        sql`progress = ${JSON.stringify(progress)}, differing = differing + ${differing}`,
        ...sets,
      ],
      ", ",
    )}
    WHERE id = ${run.id} AND position = ${run.position} RETURNING ${RUN_COLUMNS}`;
}
