/** The end of a run: what it has noted on its way is wiped. */
import { raw, type Sql, sql } from "../storage/sql";
import { type Committed, commitStep, type Desk, HOLD_MS } from "./desk";
import { isAt, type Progress, type RunChange, type RunRow } from "./runs";

/** Rows of what a run has noted that are wiped in one step, of each table. */
const ROWS_WIPED_PER_STEP = 5_000;

const [SEEN, LOOKS] = [raw("reconciliation_seen"), raw("reconciliation_looks")];

/** Wipes what a run has noted, or the next part of it; with `end`, it comes to its end by that. One round trip. */
export async function endRun(
  { db, now }: Pick<Desk, "db" | "now">,
  run: RunRow,
  progress: Progress,
  end: Pick<RunChange, "state" | "finished_at"> = {},
): Promise<Committed> {
  const isIts = sql`run_id = ${run.id}`;
  const some = (table: Sql, key: Sql) => sql`DELETE FROM ${table} WHERE ${isIts} AND ${isAt(run)} AND (${key}) IN (
    SELECT ${key} FROM ${table} WHERE ${isIts} LIMIT ${ROWS_WIPED_PER_STEP})`;
  const isLeft = sql`EXISTS (SELECT 1 FROM ${SEEN} WHERE ${isIts}) OR EXISTS (SELECT 1 FROM ${LOOKS} WHERE ${isIts})`;
  const committed = await commitStep(
    { db, run, now },
    [some(SEEN, raw("block")), some(LOOKS, raw("listing, reference"))],
    {
      // Why a run has failed stays.
      ...{ failing_since: run.failing_since, failure: run.failure, ...end },
      progress: { ...progress, phase: "wipe" },
      due_at: sql`iif(${isLeft}, ${now() + HOLD_MS}, NULL)`,
    },
  );
  const isOver = committed.tag === "moved" && committed.run.due_at === null;
  return isOver ? { ...committed, tag: "rests" } : committed;
}
