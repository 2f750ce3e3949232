/** Fills a D1 with payments, their events and their keys, straight in its file. The server is stopped. */
import { readdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fingerprint } from "../src/idempotency.ts";

/** What every seeded payment was created with, so that one fingerprint fits all. */
export const SEEDED_BODY = { order_id: 42, amount: 99.99, currency: "USD" };

/** The key that made a seeded payment. Neighbours are far apart, as UUIDs are. */
export function seededKey(id: number): string {
  return `${(Math.imul(id, 2654435761) >>> 0).toString(16).padStart(8, "0")}-seeded-by-the-benchmark`;
}

/**
 * Adds payments 1 to `pending` in status pending, and after them `confirmed` ones in status confirmed.
 *
 * @param state a directory whose D1 has its migrations and no payment
 */
export async function seed(state: string, pending: number, confirmed: number): Promise<void> {
  const mark = await fingerprint("create", null, { order_id: 42, amount_minor: 9999, currency: "USD" });
  const db = new DatabaseSync(databaseFile(state));
  try {
    // A failure leaves a file that nobody uses, so it need not be safe.
    db.exec("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000; BEGIN");
    db.exec(sql(pending, pending + confirmed, Date.now() - 86_400_000, mark));
    db.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    db.close();
  }
}

/** The SQLite file of the one D1 in a state directory. */
export function databaseFile(state: string): string {
  const directory = path.join(state, "v3/d1/miniflare-D1DatabaseObject");
  const [file, ...others] = readdirSync(directory).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  if (file === undefined || others.length > 0) throw new Error(`Not exactly one database in ${directory}`);
  return path.join(directory, file);
}

const sql = (pending: number, total: number, now: number, mark: string) => `
  INSERT INTO payments
  WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ${total})
  SELECT id, 1, 42, 9999, 'USD', iif(id <= ${pending}, 'pending', 'confirmed'), 'internal',
    iif(id <= ${pending}, 1, 2), ${now}, ${now} FROM n;

  INSERT INTO payment_events
  SELECT id, 1, 'payment.created', json_object('order_id', order_id, 'amount_minor', amount_minor, 'currency',
    currency, 'status', 'pending', 'provider', provider), 'created-by-the-benchmark-' || id, ${now} FROM payments
  UNION ALL
  SELECT id, 2, 'payment.confirmed', '{"status":"confirmed"}', 'confirmed-by-the-benchmark-' || id, ${now}
  FROM payments WHERE status = 'confirmed'
  ORDER BY 1, 2;

  INSERT INTO idempotency_keys
  SELECT 1, printf('%08x', (id * 2654435761) % 4294967296) || '-seeded-by-the-benchmark', '${mark}', id, ${now}
  FROM payments ORDER BY 2;`;
