/** The sweep of what is asked of providers: it wakes the objects whose alarm was lost, and those of payments whose time is over. */
import { Database } from "../storage/database";
import { logError } from "../storage/log";
import { objectName } from "../storage/object-name";
import { sql } from "../storage/sql";
import type { PaymentObject } from "./object";

/** How long something may be due before the sweep takes its alarm for lost, in milliseconds. */
const OVERDUE_AFTER_MS = 30_000;
/** When a payment whose time is over is woken again, should it not have ended, in milliseconds. */
const LOOK_AGAIN_AFTER_MS = 5 * 60_000;
/** Payments that one sweep wakes, within what a Worker may ask for in one run; the next one wakes the rest. */
const MAX_PAYMENTS_PER_SWEEP = 400;

export interface OperationSweepResult {
  /** Payments of which something at a provider was due. */
  woken: number;
}

interface DuePayment {
  readonly merchant_id: number;
  readonly payment_id: number;
}

/** Wakes every payment with an operation that should have been looked at by now, or whose time to be completed is over. */
export async function sweepOperations(
  d1: D1Database,
  objects: DurableObjectNamespace<PaymentObject>,
  now: number,
): Promise<OperationSweepResult> {
  const db = new Database(d1);
  const { rows } = await db.batch<DuePayment>([
    sql`SELECT merchant_id, payment_id FROM operations WHERE due_at <= ${now - OVERDUE_AFTER_MS}
      ORDER BY due_at LIMIT ${MAX_PAYMENTS_PER_SWEEP}`,
    sql`SELECT merchant_id, id AS payment_id FROM payments WHERE expiry_due_at <= ${now} AND provider <> 'internal'
      ORDER BY expiry_due_at LIMIT ${MAX_PAYMENTS_PER_SWEEP}`,
  ]);
  // One that is not ended yet comes again, behind those whose time is over meanwhile.
  const overdue = rows[1]?.map(({ payment_id }) => payment_id) ?? [];
  if (overdue.length > 0) {
    await db.all(sql`UPDATE payments SET expiry_due_at = ${now + LOOK_AGAIN_AFTER_MS}
      WHERE id IN (SELECT value FROM json_each(${JSON.stringify(overdue)})) AND expiry_due_at <= ${now}`);
  }
  const names = new Set(
    rows.flat().map(({ merchant_id: merchantId, payment_id: id }) => objectName({ merchantId, id })),
  );
  let woken = 0;
  for (const name of [...names].slice(0, MAX_PAYMENTS_PER_SWEEP)) {
    try {
      await objects.getByName(name).wake();
      woken++;
    } catch (error) {
      logError({ message: "payment not woken", payment: name, cause: String(error) });
    }
  }
  return { woken };
}
