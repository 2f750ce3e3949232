/**
 * Every D1 statement about payments, their idempotency keys and their events. D1 is the only source of
 * truth: what changes together is one batch, a transaction, and every answer is read from what it left.
 */
import type { InferSelectModel } from "drizzle-orm";
import type { payments } from "../db/schema";
import type { Idempotency } from "../idempotency";
import { judgeD1, Outage, withRetries } from "../outage";
import { type Action, eventType, INITIAL_STATUS, LIFECYCLE, outcome, type Status } from "./lifecycle";

/** A payment as its row has it: the amount in minor units, times in milliseconds. */
export type Payment = InferSelectModel<typeof payments>;

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
};
/** What a new payment is made of. The money is an integer of minor units with its currency. */
export interface NewPayment {
  readonly order_id: number;
  readonly amount_minor: number;
  readonly currency: string;
}

/** Who changes something, when, in milliseconds, and in which request. Request ids are never used twice. */
export interface Origin {
  readonly merchantId: number;
  readonly requestId: string;
  readonly now: number;
}

export type Created = { tag: "created" | "replayed"; payment: Payment } | { tag: "key_reused" };

export type Acted =
  | { tag: "changed" | "unchanged" | "replayed"; payment: Payment }
  | { tag: "not_found" }
  | { tag: "refused"; status: Status }
  | { tag: "key_reused" };

const PAYMENT = Object.keys(COLUMNS)
  .map((column) => `payments.${column}`)
  .join(", ");

const FIND_PAYMENT = `SELECT ${PAYMENT} FROM payments WHERE id = ? AND merchant_id = ?`;

/** Reads a payment of a merchant; null when there is none. One round trip. */
export async function findPayment(db: D1Database, merchantId: number, id: number): Promise<Payment | null> {
  const statement = db.prepare(FIND_PAYMENT).bind(id, merchantId);
  const { results } = await withRetries(() => statement.all<Payment>(), judgeD1);
  return results[0] ?? null;
}

const INSERT_PAYMENT = `
  INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7) RETURNING ${PAYMENT}`;

// A key that is taken fails this, and the whole batch with it. The tables after `payments` have no rowid,
// so last_insert_rowid() stays the payment's.
const INSERT_ITS_KEY = `
  INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
  VALUES (?, ?, ?, last_insert_rowid(), ?)`;

const INSERT_ITS_FIRST_EVENT = `
  INSERT INTO payment_events (payment_id, sequence, type, data, request_id, created_at)
  VALUES (last_insert_rowid(), 1, ?, ?, ?, ?)`;

const FIND_BY_KEY = `
  SELECT ${PAYMENT}, idempotency_keys.fingerprint, payment_events.request_id
  FROM idempotency_keys
  JOIN payments ON payments.id = idempotency_keys.payment_id AND payments.merchant_id = idempotency_keys.merchant_id
  JOIN payment_events ON payment_events.payment_id = payments.id AND payment_events.sequence = 1
  WHERE idempotency_keys.merchant_id = ? AND idempotency_keys.key = ?`;

/**
 * Creates a payment, its key and its first event, or finds what the key has led to already. One round
 * trip, two for a retry.
 */
export async function createPayment(
  db: D1Database,
  { merchantId, requestId, now }: Origin,
  { key, fingerprint }: Idempotency,
  fields: NewPayment,
): Promise<Created> {
  const made = { ...fields, status: INITIAL_STATUS, provider: "internal" };
  const { order_id, amount_minor, currency, status, provider } = made;
  const batch = [
    db.prepare(INSERT_PAYMENT).bind(merchantId, order_id, amount_minor, currency, status, provider, now),
    db.prepare(INSERT_ITS_KEY).bind(merchantId, key, fingerprint, now),
    db.prepare(INSERT_ITS_FIRST_EVENT).bind(eventType(status), JSON.stringify(made), requestId, now),
  ];
  try {
    const [inserted] = await withRetries(() => db.batch<Payment>(batch), judgeD1);
    const payment = inserted?.results[0];
    if (!payment) throw new Error("The insert of a payment returned no row");
    return { tag: "created", payment };
  } catch (error) {
    if (!isKeyTaken(error)) throw error;
  }

  const statement = db.prepare(FIND_BY_KEY).bind(merchantId, key);
  const { results } = await withRetries(() => statement.all<FoundByKey>(), judgeD1);
  const [found] = results;
  if (!found) throw new Error("A key that is taken names no payment");
  const { fingerprint: recorded, request_id: creator, ...payment } = found;
  if (recorded !== fingerprint) return { tag: "key_reused" };
  if (creator !== requestId) return { tag: "replayed", payment };
  // An attempt whose answer was lost had committed: this very request made the payment, as it was then.
  return { tag: "created", payment: { ...payment, status, version: 1, updated_at: payment.created_at } };
}

/** The payment that a key has led to, the fingerprint kept with the key, and the request that made it. */
interface FoundByKey extends Payment {
  fingerprint: string;
  request_id: string;
}

function isKeyTaken(error: unknown): boolean {
  return error instanceof Error && error.message.includes("UNIQUE constraint failed: idempotency_keys.");
}

const KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ? AND key = ?";

const INSERT_EVENT = `
  INSERT INTO payment_events (payment_id, sequence, type, data, request_id, created_at)
  SELECT id, version, ?, ?, ?, updated_at FROM payments WHERE id = ? AND merchant_id = ? AND changes() = 1`;

const PAYMENT_AFTER = `
  SELECT ${PAYMENT}, own.sequence AS own_version, own.created_at AS own_updated_at FROM payments
  LEFT JOIN payment_events AS own ON own.payment_id = payments.id AND own.request_id = ?
  WHERE payments.id = ? AND payments.merchant_id = ?`;

/** An action's own statements: the change behind its guard, and the key of a success. */
function actionStatements({ from, to, repeatable }: (typeof LIFECYCLE)[Action]) {
  return {
    change: `
  UPDATE payments SET status = '${to}', version = version + 1, updated_at = max(updated_at, ?1)
  WHERE id = ?2 AND merchant_id = ?3 AND status IN (${from.map((status) => `'${status}'`).join(", ")})
  AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ?3 AND key = ?4)`,
    // A success is a change, which the event just inserted shows, or a repetition.
    insertKey: `
  INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
  SELECT merchant_id, ?, ?, id, ? FROM payments
  WHERE id = ? AND merchant_id = ? AND (changes() = 1${repeatable ? ` OR status = '${to}'` : ""})
  ON CONFLICT (merchant_id, key) DO NOTHING`,
    eventType: eventType(to),
    eventData: JSON.stringify({ status: to }),
  };
}

const ACTION_STATEMENTS = {
  confirm: actionStatements(LIFECYCLE.confirm),
  fail: actionStatements(LIFECYCLE.fail),
  refund: actionStatements(LIFECYCLE.refund),
} satisfies Record<Action, ReturnType<typeof actionStatements>>;

/**
 * Asks an action of a payment. The guard is in the SQL, so that it holds whoever else is at work; what
 * happened is read from the key as it was before, and the row and the event as they are after. One
 * round trip. Running it again in the same request finds its own commit.
 *
 * @throws Outage also instead of a refusal that a lost attempt, arriving later, could belie
 */
export async function applyAction(
  db: D1Database,
  { merchantId, requestId, now }: Origin,
  id: number,
  action: Action,
  idempotency: Idempotency | null,
): Promise<Acted> {
  const sql = ACTION_STATEMENTS[action];
  const { to } = LIFECYCLE[action];
  const change = db.prepare(sql.change).bind(now, id, merchantId, idempotency?.key ?? null);
  const event = db.prepare(INSERT_EVENT).bind(sql.eventType, sql.eventData, requestId, id, merchantId);
  const after = db.prepare(PAYMENT_AFTER).bind(requestId, id, merchantId);
  const batch = idempotency
    ? [
        db.prepare(KEY_BEFORE).bind(merchantId, idempotency.key),
        change,
        event,
        db.prepare(sql.insertKey).bind(idempotency.key, idempotency.fingerprint, now, id, merchantId),
        after,
      ]
    : [change, event, after];

  let attempts = 0;
  const results = await withRetries(() => {
    attempts++;
    return db.batch<KeyBefore | PaymentAfter>(batch);
  }, judgeD1);

  const rows = results.flatMap((result) => result.results);
  const key = rows.find((row) => "fingerprint" in row);
  const found = rows.find((row) => "own_version" in row);
  if (found) {
    const { own_version, own_updated_at, ...payment } = found;
    // The change is this request's own, made now or in an attempt whose answer was lost: as it was then.
    if (own_version !== null && own_updated_at !== null) {
      return { tag: "changed", payment: { ...payment, status: to, version: own_version, updated_at: own_updated_at } };
    }
    if (key && key.fingerprint === idempotency?.fingerprint) return { tag: "replayed", payment };
    if (!key && outcome(payment.status, action) === "unchanged") return { tag: "unchanged", payment };
  }
  if (key) return { tag: "key_reused" };
  // An attempt whose answer was lost may still arrive, and then succeed: a refusal would be a guess.
  if (attempts > 1) throw new Outage("An earlier attempt may still arrive");
  return found ? { tag: "refused", status: found.status } : { tag: "not_found" };
}

interface KeyBefore {
  fingerprint: string;
}

/** The payment after the batch, and this request's own event, if there is one. */
interface PaymentAfter extends Payment {
  own_version: number | null;
  own_updated_at: number | null;
}
