/** Fills a D1 with an API key and payments, their events and keys, straight in its file. The server is stopped. */
import { readdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { makeApiKey, publicId } from "../src/auth/api-key.ts";
import { checksumKeys, makeSecretsKeys } from "../src/auth/secret-keys.ts";
import { SCOPE_NAMES } from "../src/scopes.ts";
import { sha256 } from "../src/storage/digest.ts";
import { fingerprint } from "../src/storage/idempotency.ts";

/** The service's keys, and the API key that every request brings; a process that this one starts takes both from the environment. */
process.env.BENCH_SECRETS_KEYS ??= makeSecretsKeys(new Date());
export const SECRETS_KEYS = process.env.BENCH_SECRETS_KEYS;
process.env.BENCH_API_KEY ??= (await makeApiKey(await checksumKeys(SECRETS_KEYS))).key;
export const API_KEY = process.env.BENCH_API_KEY;

/** What a payment is created with, seeded ones too. */
export function body(order_id: number) {
  return { order_id, amount: 99.99, currency: "USD" };
}

/** Seeded payments belong to orders 1, 2, 3…, so many to each, in the order of their ids. */
export const PAYMENTS_PER_ORDER = 10;

/** How many orders have all their payments. */
export function wholeOrders(payments: number): number {
  return Math.floor(payments / PAYMENTS_PER_ORDER);
}

/** The idempotency key of the first payment of an order. Neighbours are far apart, as UUIDs are. */
export function seededKey(order: number): string {
  const id = (order - 1) * PAYMENTS_PER_ORDER + 1;
  return `${(Math.imul(id, 2654435761) >>> 0).toString(16).padStart(8, "0")}-seeded-by-the-benchmark`;
}

/** The metadata pair of the last payment of an order; no other has metadata. */
export function seededPair(order: number): [name: string, value: string] {
  return ["cart", `c-${order}`];
}

/**
 * Adds the API key, then payments 1 to `pending` in status pending, and after them `confirmed` ones in status
 * confirmed.
 *
 * @param state a directory whose D1 has its migrations and no payment
 */
export async function seed(state: string, pending: number, confirmed: number): Promise<void> {
  const total = pending + confirmed;
  const marks = await Promise.all(
    Array.from({ length: wholeOrders(total) + 2 }, (_, order_id) =>
      fingerprint("create", null, { order_id, amount_minor: 9999, currency: "USD" }),
    ),
  );
  const keyId = publicId(API_KEY) ?? "";
  const now = Date.now();
  const db = new DatabaseSync(databaseFile(state));
  try {
    db.function("fingerprint", { deterministic: true }, (order) => marks[Number(order)] ?? null);
    // A failure leaves a file that nobody uses, so it need not be safe.
    db.exec("PRAGMA synchronous = OFF; PRAGMA cache_size = -500000; BEGIN");
    // Used just now: its use is not noted again while the benchmark runs.
    db.prepare(
      "INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_at, last_used_at) VALUES (?, 1, 'load', ?, ?, ?, ?)",
    ).run(keyId, JSON.stringify(SCOPE_NAMES), await sha256(API_KEY), now, now);
    db.exec(sql(pending, total, now - 86_400_000, keyId));
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

/** One payment a millisecond. */
const sql = (pending: number, total: number, from: number, keyId: string) => `
  INSERT INTO payments
    (id, merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at, metadata,
     event_positions)
  WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ${total})
  SELECT id, 1, (id - 1) / ${PAYMENTS_PER_ORDER} + 1, 9999, 'USD', iif(id <= ${pending}, 'pending', 'confirmed'), 'internal',
    iif(id <= ${pending}, 1, 2), ${from} + id, ${from} + id,
    iif(id % ${PAYMENTS_PER_ORDER} = 0, json_object('cart', 'c-' || (id / ${PAYMENTS_PER_ORDER})), '{}'),
    iif(id <= ${pending}, json_array(id), json_array(2 * id - ${pending} - 1, 2 * id - ${pending})) FROM n;

  INSERT INTO payment_metadata (merchant_id, name, prefix, created_at, payment_id)
  SELECT merchant_id, pair.key, substr(pair.value, 1, 64), created_at, payments.id FROM payments, json_each(metadata) AS pair
  ORDER BY 1, 2, 3, 4, 5;

  INSERT INTO events
    (merchant_id, position, payment_id, sequence, type, data, request_id, commit_id, key_id, created_at)
  WITH told (id, sequence, type, data, created_at) AS (
    SELECT id, 1, 'payment.created', json_object('order_id', order_id, 'amount_minor', amount_minor, 'currency', currency,
      'status', 'pending', 'provider', provider), created_at FROM payments
    UNION ALL
    SELECT id, 2, 'payment.confirmed', '{"status":"confirmed"}', created_at FROM payments WHERE status = 'confirmed')
  SELECT 1, row_number() OVER (ORDER BY id, sequence), id, sequence, type, data, request, request, '${keyId}', created_at
  FROM (SELECT *, printf('%08x-seeded-by-the-benchmark-%d', id, sequence) AS request FROM told) ORDER BY 2;

  INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
  SELECT 1, printf('%08x', (id * 2654435761) % 4294967296) || '-seeded-by-the-benchmark', fingerprint(order_id), id, created_at
  FROM payments ORDER BY 2;`;
