/**
 * Reconciliation: each minute a run carries on what is due, and once a day a walk over all accounts at providers begins, which has each that is
 * enabled compared. A run goes through a page of the providers' lists in a step, and through some seven pages: 700 entries at Stripe, a
 * million a day. On a paid plan, D1 answers twenty times as many statements.
 */

import type { PaymentObject } from "../operation/object";
import { type DeliveryId, queueEndpoints } from "../outbox/outbox";
import { accountConnection } from "../provider/accounts/connection";
import { ACCOUNT_PROVIDERS } from "../provider/providers";
import { type AdvanceResult, advanceRuns } from "../reconciliation/advance";
import type { Office } from "../reconciliation/desk";
import { startRuns } from "../reconciliation/runs";
import { Database } from "../storage/database";
import { objectName } from "../storage/object-name";
import { classifyObjectError, withRetries } from "../storage/outage";
import { sql } from "../storage/sql";

const JOB = "reconciliation";
const WALK_EVERY_MS = 86_400_000;
/** Accounts that one step of the walk has compared. */
const ACCOUNTS_PER_STEP = 100;

/** How far the walk has come, as `job_positions` keeps it. */
interface Progress {
  /** The account that was looked at last; null when the walk is at its end. */
  readonly after: number | null;
  readonly begun_at: number;
}

export interface ReconciliationResult extends AdvanceResult {
  /** Accounts of which a run was begun. */
  started: number;
}

/** One run of the job: begins what is to be begun, and carries on what is due. @throws Outage when D1 is out of reach */
export async function reconcileAccounts(env: Env, now: number): Promise<ReconciliationResult> {
  const db = new Database(env.DB);
  const started = await startDue(db, now);
  return { started, ...(await advanceRuns(officeOf(env, db))) };
}

/** One step of the walk, or nothing within a day of the beginning of one that is at its end. Safe to run twice. */
export async function startDue(db: Database, now: number): Promise<number> {
  const [stored] = await db.all<{ position: string }>(sql`SELECT position FROM job_positions WHERE job = ${JOB}`);
  const last: Progress | null = stored === undefined ? null : JSON.parse(stored.position);
  if (last?.after === null && now - last.begun_at < WALK_EVERY_MS) return 0;
  const { after, begun_at } = last === null || last.after === null ? { after: 0, begun_at: now } : last;
  const accounts = sql`SELECT id FROM provider_accounts WHERE id > ${after} ORDER BY id LIMIT ${ACCOUNTS_PER_STEP}`;
  const reached = sql`(SELECT iif(count(*) < ${ACCOUNTS_PER_STEP}, NULL, max(id)) FROM (${accounts}))`;
  const { rows } = await db.batch<[{ id: number }, never]>([
    startRuns(accounts, now),
    sql`INSERT INTO job_positions (job, position, updated_at)
      SELECT ${JOB}, json_object('after', ${reached}, 'begun_at', CAST(${begun_at} AS INTEGER)), ${now} WHERE true
      ON CONFLICT (job) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at`,
  ]);
  return rows[0].length;
}

/** What runs are carried on with. */
function officeOf(env: Env, db: Database): Office {
  return {
    db,
    adapterOf: (provider) => ACCOUNT_PROVIDERS[provider],
    connect: (account, adapter) => accountConnection(env, account, adapter),
    wake: (merchantId, ids) => wakeAll(env.PAYMENT, merchantId, ids),
    enqueue: async (merchant_id, deliveries: readonly DeliveryId[]) => {
      const endpoint_ids = [...new Set(deliveries.map(({ endpoint_id }) => endpoint_id))];
      await queueEndpoints(env.DELIVERIES, { merchant_id, endpoint_ids }, { merchant_id });
    },
    now: () => Date.now(),
    newCommitId: () => crypto.randomUUID(),
  };
}

/** Wakes payments, as many at once as an invocation has connections. */
async function wakeAll(
  objects: DurableObjectNamespace<PaymentObject>,
  merchantId: number,
  ids: readonly number[],
): Promise<void> {
  const waiting = [...ids];
  const worker = async () => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const name = objectName({ merchantId, id });
      await withRetries(() => objects.getByName(name).wake(), classifyObjectError);
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
}
