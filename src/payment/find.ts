/** The statement that reads a payment. */
import type { Database } from "../storage/database";
import { sql } from "../storage/sql";
import { PAYMENT_COLUMNS, type Payment } from "./payment";

/** Reads a payment of a merchant; null when there is none. One round trip. */
export async function findPayment(db: Database, merchantId: number, id: number): Promise<Payment | null> {
  const [payment] = await db.all<Payment>(
    sql`SELECT ${PAYMENT_COLUMNS} FROM payments WHERE id = ${id} AND merchant_id = ${merchantId}`,
  );
  return payment ?? null;
}
