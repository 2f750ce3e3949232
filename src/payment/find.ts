/** Payments as their rows have them, and the statement that reads one. */
import type { InferSelectModel } from "drizzle-orm";
import type { Database } from "../storage/database";
import type { payments } from "./tables";

/** A payment as its row has it: the amount in minor units, times in milliseconds. Where its events are is no part of it. */
export type Payment = Omit<InferSelectModel<typeof payments>, "event_positions">;

/** Every column, and the compiler sees to that. */
const COLUMNS: Readonly<Record<keyof Payment, true>> = {
  id: true,
  merchant_id: true,
  order_id: true,
  amount_minor: true,
  currency: true,
  status: true,
  provider: true,
  version: true,
  created_at: true,
  updated_at: true,
  metadata: true,
};

/** The columns of a payment, for a query. */
export const PAYMENT = Object.keys(COLUMNS)
  .map((column) => `payments.${column}`)
  .join(", ");

const FIND_PAYMENT = `SELECT ${PAYMENT} FROM payments WHERE id = ? AND merchant_id = ?`;

/** Reads a payment of a merchant; null when there is none. One round trip. */
export async function findPayment(db: Database, merchantId: number, id: number): Promise<Payment | null> {
  const [payment] = await db.all<Payment>(db.prepare(FIND_PAYMENT).bind(id, merchantId));
  return payment ?? null;
}
