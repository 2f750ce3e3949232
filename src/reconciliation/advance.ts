/**
 * Carrying reconciliation runs on: the next steps of those that are due, in the order in which they became due, up to the bound of one
 * invocation. What breaks off goes on from its last step.
 */
import { backoffMs } from "../operation/reducer/backoff";
import { findAccount } from "../provider/accounts/accounts";
import { accountName } from "../provider/accounts/names";
import { logError, logInfo } from "../storage/log";
import { Outage } from "../storage/outage";
import { sql } from "../storage/sql";
import { type Committed, commitStep, type Desk, HOLD_MS, type Office, type Stepped, type Unheard } from "./desk";
import { stepThroughOwn, stepThroughPage } from "./listing";
import { LEAST_STATEMENTS_OF_LOOKS, stepThroughLooks } from "./looks";
import { type Phase, type Progress, type RunRow, takeRun } from "./runs";
import { endRun } from "./wiping";

/** D1 answers 50 statements of one invocation on Cloudflare's free plan; the job that carries runs on has 4 of its own. */
const STATEMENTS_PER_INVOCATION = 46;
/** To take a run, with its account, and to give it back. */
const STATEMENTS_PER_RUN = 3;
/** What the next step of each phase must have. */
const STATEMENTS: Readonly<Record<Phase, number>> = {
  ...{ payments: 6, refunds: 6, disputes: 6, own: 2, looks: LEAST_STATEMENTS_OF_LOOKS, wipe: 3 },
};

/** The longest pause before a provider that gave no answer is asked again, in milliseconds. */
const MAX_PAUSE_MS = 3_600_000;
/** How long a run may go on without an answer before it has failed, in milliseconds. */
const MAX_FAILING_MS = 86_400_000;
export interface AdvanceResult {
  steps: number;
  /** Runs that have come to their end. */
  done: number;
  /** Runs that have failed. */
  failed: number;
}

/**
 * Carries on the runs that are due. Safe to run twice, and at the same time.
 *
 * @throws Outage when D1 is out of reach; what was done before stays so
 */
export async function advanceRuns(office: Office): Promise<AdvanceResult> {
  const { db, now } = office;
  const result: AdvanceResult = { steps: 0, done: 0, failed: 0 };
  const most = db.statements + STATEMENTS_PER_INVOCATION;
  while (most - db.statements > STATEMENTS_PER_RUN) {
    const taken = await takeRun(db, now(), HOLD_MS);
    if (taken === null) break;
    await carryOn(office, taken, most - 1, result);
  }
  return result;
}

/** Carries a run on, until it rests or there are no more statements for its next step. */
async function carryOn(office: Office, taken: RunRow, most: number, result: AdvanceResult): Promise<void> {
  const prepared = await prepare(office, taken);
  let run = taken;
  for (;;) {
    const progress: Progress = JSON.parse(run.progress);
    const statements = most - office.db.statements;
    if (statements < STATEMENTS[progress.phase]) return giveBack(office, run);
    const stepped = await step(office, prepared, run, progress, statements);
    result.steps++;
    if (stepped.tag === "lost") return;
    if (run.finished_at === null && stepped.run.finished_at !== null) report(stepped.run, prepared, result);
    if (stepped.tag === "rests") return;
    run = stepped.run;
  }
}

/** What the steps of a run go by, or why there is none. */
type Prepared = (Pick<Desk, "account" | "adapter" | "connection"> & { readonly tag: "ready" }) | Unheard;

async function prepare({ db, adapterOf, connect }: Office, run: RunRow): Promise<Prepared> {
  const account = await findAccount(db, run.merchant_id, run.account_id);
  const adapter = account && adapterOf(account.provider);
  if (!adapter) return { tag: "unheard", detail: "There is no provider of the account any more", retryAfterMs: null };
  try {
    return { tag: "ready", account, adapter, connection: await connect(account, adapter) };
  } catch (error) {
    if (error instanceof Outage) return { tag: "unheard", detail: String(error.cause), retryAfterMs: null };
    throw error;
  }
}

/** The next step of a run. Where the provider gives no answer, that is what is committed. */
async function step(
  office: Office,
  prepared: Prepared,
  run: RunRow,
  progress: Progress,
  statements: number,
): Promise<Committed> {
  if (progress.phase === "wipe") return endRun(office, run, progress);
  const stepped =
    prepared.tag === "unheard"
      ? prepared
      : await attempt({ ...office, ...prepared, run, progress, statements }, progress.phase);
  return stepped.tag === "unheard" ? wait(office, run, progress, stepped) : stepped;
}

/** A step that asks the provider. What it throws is logged, and no answer: other runs are carried on meanwhile. */
async function attempt(desk: Desk, phase: Exclude<Phase, "wipe">): Promise<Stepped> {
  try {
    switch (phase) {
      case "payments":
      case "refunds":
      case "disputes":
        return await stepThroughPage(desk, phase);
      case "own":
        return await stepThroughOwn(desk);
      case "looks":
        return await stepThroughLooks(desk);
    }
  } catch (error) {
    const isOutage = error instanceof Outage;
    const cause = isOutage ? String(error.cause) : error instanceof Error ? error.stack : String(error);
    logError({ message: "reconciliation broken off", run_id: desk.run.id, account: accountName(desk.account), cause });
    const detail = isOutage ? "The service could not reach its storage" : "Internal error";
    return { tag: "unheard", detail, retryAfterMs: null };
  }
}

/** Puts off a run whose provider gave no answer, later each time; after a day of that, it has failed. */
function wait(
  { db, now }: Office,
  run: RunRow,
  progress: Progress,
  { detail, retryAfterMs }: Unheard,
): Promise<Committed> {
  const at = now();
  const misses = progress.misses + 1;
  const failing = { failing_since: run.failing_since ?? at, failure: detail };
  if (at - failing.failing_since >= MAX_FAILING_MS) {
    const failed = { state: "failed", finished_at: at, due_at: at } as const;
    return commitStep({ db, run, now }, [], {
      ...failing,
      ...failed,
      progress: { ...progress, misses, phase: "wipe" },
    });
  }
  const pause = Math.min(Math.max(backoffMs(misses), retryAfterMs ?? 0), MAX_PAUSE_MS);
  const change = { ...failing, progress: { ...progress, misses }, due_at: at + pause };
  return commitStep({ db, run, now }, [], change, { isResting: true });
}

/** Has others carry a run on at once. One round trip. */
async function giveBack({ db, now }: Office, { id, position }: RunRow): Promise<void> {
  await db.all(sql`UPDATE reconciliation_runs SET due_at = ${now()} WHERE id = ${id} AND position = ${position}`);
}

/** Counts and logs a run that has come to its end. */
function report(run: RunRow, prepared: Prepared, result: AdvanceResult): void {
  const { id, merchant_id, account_id, state, compared, differing, items, failure } = run;
  const account = prepared.tag === "ready" ? accountName(prepared.account) : account_id;
  const fields = { run_id: id, merchant_id, account, compared, differing, items: JSON.parse(items) };
  if (state === "failed") {
    result.failed++;
    logError({ message: "reconciliation failed", ...fields, cause: failure });
  } else {
    result.done++;
    logInfo({ message: "reconciled", ...fields });
  }
}
