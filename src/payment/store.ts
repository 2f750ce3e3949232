/**
 * Every D1 statement about payments, their idempotency keys and their events. D1 is the only source of
 * truth: what changes together is one batch, a transaction, and every answer is read from what it left.
 */
import type { InferSelectModel } from "drizzle-orm";
import type { payments } from "../db/schema";
import type { Origin } from "../origin";
import { type DeliveryId, insertDeliveries, isDeliveryId } from "../outbox/outbox";
import type { Database } from "../storage/database";
import type { Idempotency } from "../storage/idempotency";
import { Outage } from "../storage/outage";
import { type Action, eventType, INITIAL_STATUS, LIFECYCLE, outcome, type Status } from "./lifecycle";

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

/** What a new payment is made of. The money is an integer of minor units with its currency. */
export interface NewPayment {
  readonly order_id: number;
  readonly amount_minor: number;
  readonly currency: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A success that changed something: whom its event is told to, as far as the answer was not lost. */
interface Told {
  readonly payment: Payment;
  readonly deliveries: readonly DeliveryId[];
}

export type Created = ({ tag: "created" } & Told) | { tag: "replayed"; payment: Payment } | { tag: "key_reused" };

export type Acted =
  | ({ tag: "changed" } & Told)
  | { tag: "unchanged" | "replayed"; payment: Payment }
  | { tag: "not_found" }
  | { tag: "refused"; status: Status }
  /** The payment's version is none of those that were expected. */
  | { tag: "outdated"; version: number }
  | { tag: "key_reused" };

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

/** The newest event of a merchant: one row, or none before the first. */
const newestEvent = (merchant: string) =>
  `(SELECT position, created_at FROM events WHERE merchant_id = ${merchant} ORDER BY position DESC LIMIT 1) AS newest`;

// A merchant's events, and so its payments, have times in the order of their positions, whatever the clocks of
// several machines say: a list by time never has a new payment appear behind a reader.
const INSERT_PAYMENT = `
  INSERT INTO payments
    (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at, metadata,
     event_positions)
  SELECT ?1, ?2, ?3, ?4, ?5, ?6, 1, time, time, ?8, json_array(position)
  FROM (SELECT max(?7, coalesce(created_at, 0)) AS time, coalesce(position, 0) + 1 AS position
    FROM (SELECT 1) LEFT JOIN ${newestEvent("?1")})
  RETURNING ${PAYMENT}`;

// A key that is taken fails this, and the whole batch with it. The tables after `payments` have no rowid,
// so last_insert_rowid() stays the payment's.
const INSERT_ITS_KEY = `
  INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
  VALUES (?, ?, ?, last_insert_rowid(), ?)`;

/** The event of a payment's newest version, for a payment chosen by a condition. */
const insertEvent = (condition: string) => `
  INSERT INTO events
    (merchant_id, position, payment_id, sequence, type, data, request_id, commit_id, key_id, idempotency_key, created_at)
  SELECT merchant_id, event_positions ->> '$[#-1]', id, version, ?, ?, ?, ?, ?, ?, updated_at
  FROM payments WHERE ${condition}`;

const INSERT_ITS_FIRST_EVENT = insertEvent("id = last_insert_rowid()");

const INSERT_ITS_METADATA = `
  INSERT INTO payment_metadata (merchant_id, name, value, created_at, payment_id)
  SELECT merchant_id, pair.key, pair.value, created_at, payments.id FROM payments, json_each(metadata) AS pair
  WHERE payments.id = last_insert_rowid()`;

const TELL_OF_CREATION = insertDeliveries("last_insert_rowid()");
const TELL_OF_CHANGE = insertDeliveries("?4");

const NO_METADATA = "{}";

const FIND_BY_KEY = `
  SELECT ${PAYMENT}, idempotency_keys.fingerprint, first.commit_id
  FROM idempotency_keys
  JOIN payments ON payments.id = idempotency_keys.payment_id AND payments.merchant_id = idempotency_keys.merchant_id
  JOIN events AS first ON first.merchant_id = payments.merchant_id AND first.position = event_positions ->> '$[0]'
  WHERE idempotency_keys.merchant_id = ? AND idempotency_keys.key = ?`;

/**
 * Creates a payment, its key and its first event, or finds what the key has led to already. One round
 * trip, two for a retry.
 */
export async function createPayment(
  db: Database,
  origin: Origin,
  idempotency: Idempotency,
  payment: NewPayment,
): Promise<Created> {
  const { merchantId, keyId, requestId, commitId, now } = origin;
  const { key, fingerprint } = idempotency;
  const { order_id, amount_minor, currency, metadata } = payment;
  const status: Status = INITIAL_STATUS;
  const provider = "internal";
  const made = { order_id, amount_minor, currency, status, provider };
  const pairs = JSON.stringify(metadata);
  const hasPairs = pairs !== NO_METADATA;
  const data = JSON.stringify(hasPairs ? { ...made, metadata } : made);
  const batch = [
    db.prepare(INSERT_PAYMENT).bind(merchantId, order_id, amount_minor, currency, status, provider, now, pairs),
    db.prepare(INSERT_ITS_KEY).bind(merchantId, key, fingerprint, now),
    db.prepare(INSERT_ITS_FIRST_EVENT).bind(eventType(status), data, requestId, commitId, keyId, key),
    ...(hasPairs ? [db.prepare(INSERT_ITS_METADATA)] : []),
    db.prepare(TELL_OF_CREATION).bind(merchantId, commitId, now),
  ];
  try {
    const { rows } = await db.batch<Payment | DeliveryId>(batch);
    const inserted = rows[0]?.find((row) => "version" in row);
    if (!inserted) throw new Error("The insert of a payment returned no row");
    return { tag: "created", payment: inserted, deliveries: rows.flat().filter(isDeliveryId) };
  } catch (error) {
    if (!isKeyTaken(error)) throw error;
  }

  const [found] = await db.all<FoundByKey>(db.prepare(FIND_BY_KEY).bind(merchantId, key));
  // The key has ended just now, and is free.
  if (!found) return createPayment(db, origin, idempotency, payment);
  const { fingerprint: recorded, commit_id: creator, ...existing } = found;
  if (recorded !== fingerprint) return { tag: "key_reused" };
  if (creator !== commitId) return { tag: "replayed", payment: existing };
  // An attempt whose answer was lost had committed: this very request made the payment, as it was then.
  const asItWas = { ...existing, status, version: 1, updated_at: existing.created_at };
  return { tag: "created", payment: asItWas, deliveries: [] };
}

/** The payment that a key has led to, the fingerprint kept with the key, and the request that made it. */
interface FoundByKey extends Payment {
  fingerprint: string;
  commit_id: string | null;
}

function isKeyTaken(error: unknown): boolean {
  return error instanceof Error && error.message.includes("UNIQUE constraint failed: idempotency_keys.");
}

const KEY_BEFORE = "SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ? AND key = ?";

const INSERT_EVENT = insertEvent("id = ? AND merchant_id = ? AND changes() = 1");

const PAYMENT_AFTER = `
  SELECT ${PAYMENT}, own.sequence AS own_version, own.created_at AS own_updated_at FROM payments
  LEFT JOIN events AS own ON own.merchant_id = payments.merchant_id
    AND own.position IN (SELECT value FROM json_each(event_positions)) AND own.commit_id = ?
  WHERE payments.id = ? AND payments.merchant_id = ?`;

/**
 * An action's own statements: the change behind its guard, and the key of a success.
 *
 * @param guard a further condition on the payment, as SQL
 */
function actionStatements({ from, to, repeatable }: (typeof LIFECYCLE)[Action], guard = "") {
  return {
    change: `
  UPDATE payments SET status = '${to}', version = version + 1, updated_at = max(?1, newest.created_at),
    event_positions = json_insert(event_positions, '$[#]', newest.position + 1)
  FROM ${newestEvent("?3")}
  WHERE id = ?2 AND merchant_id = ?3 AND status IN (${from.map((status) => `'${status}'`).join(", ")})${guard}
  AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ?3 AND key = ?4)`,
    // A success is a change, which the event just inserted shows, or a repetition.
    insertKey: `
  INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
  SELECT ?3, ?4, ?6, id, ?1 FROM payments
  WHERE id = ?2 AND merchant_id = ?3 AND (changes() = 1${repeatable ? ` OR status = '${to}'${guard}` : ""})
  ON CONFLICT (merchant_id, key) DO NOTHING`,
    eventType: eventType(to),
    eventData: JSON.stringify({ status: to }),
  };
}

const EXPECTED = " AND version IN (SELECT value FROM json_each(?5))";

function statementsOf(action: Action) {
  return { plain: actionStatements(LIFECYCLE[action]), guarded: actionStatements(LIFECYCLE[action], EXPECTED) };
}

const ACTION_STATEMENTS = {
  confirm: statementsOf("confirm"),
  fail: statementsOf("fail"),
  refund: statementsOf("refund"),
} satisfies Record<Action, ReturnType<typeof statementsOf>>;

/** What is asked of a payment. */
export interface Asked {
  readonly action: Action;
  readonly idempotency: Idempotency | null;
  /** The versions that the payment may be in; null when any will do. */
  readonly expected: readonly number[] | null;
}

/**
 * Asks an action of a payment. The guard is in the SQL, so that it holds whoever else is at work; what
 * happened is read from the key as it was before, and the row and the event as they are after. One
 * round trip. Running it again in the same request finds its own commit.
 *
 * @throws Outage also instead of a refusal that a lost attempt, arriving later, could belie
 */
export async function applyAction(
  db: Database,
  { merchantId, keyId, requestId, commitId, now }: Origin,
  id: number,
  { action, idempotency, expected }: Asked,
): Promise<Acted> {
  const { plain, guarded } = ACTION_STATEMENTS[action];
  const sql = expected ? guarded : plain;
  const { to } = LIFECYCLE[action];
  const versions = expected ? JSON.stringify(expected) : null;
  const values = [now, id, merchantId, idempotency?.key ?? null, versions];
  const change = db.prepare(sql.change).bind(...(expected ? values : values.slice(0, 4)));
  const told = [sql.eventType, sql.eventData, requestId, commitId, keyId, idempotency?.key ?? null];
  const event = db.prepare(INSERT_EVENT).bind(...told, id, merchantId);
  const tell = db.prepare(TELL_OF_CHANGE).bind(merchantId, commitId, now, id);
  const after = db.prepare(PAYMENT_AFTER).bind(commitId, id, merchantId);
  const batch = idempotency
    ? [
        db.prepare(KEY_BEFORE).bind(merchantId, idempotency.key),
        change,
        event,
        db.prepare(sql.insertKey).bind(...values, idempotency.fingerprint),
        tell,
        after,
      ]
    : [change, event, tell, after];

  const { rows, attempts } = await db.batch<KeyBefore | PaymentAfter | DeliveryId>(batch);
  const all = rows.flat();
  const key = all.find((row) => "fingerprint" in row);
  const found = all.find((row) => "own_version" in row);
  if (found) {
    const { own_version, own_updated_at, ...payment } = found;
    // The change is this request's own, made now or in an attempt whose answer was lost: as it was then.
    if (own_version !== null && own_updated_at !== null) {
      const changed = { ...payment, status: to, version: own_version, updated_at: own_updated_at };
      return { tag: "changed", payment: changed, deliveries: all.filter(isDeliveryId) };
    }
    if (key && key.fingerprint === idempotency?.fingerprint) return { tag: "replayed", payment };
  }
  if (key) return { tag: "key_reused" };
  const isExpected = !found || (expected?.includes(found.version) ?? true);
  if (found && isExpected && outcome(found.status, action) === "unchanged") {
    const { own_version: _, own_updated_at: __, ...payment } = found;
    return { tag: "unchanged", payment };
  }
  // An attempt whose answer was lost may still arrive, and then succeed: a refusal would be a guess.
  if (attempts > 1) throw new Outage("An earlier attempt may still arrive");
  if (!found) return { tag: "not_found" };
  return isExpected ? { tag: "refused", status: found.status } : { tag: "outdated", version: found.version };
}

interface KeyBefore {
  fingerprint: string;
}

/** The payment after the batch, and this request's own event, if there is one. */
interface PaymentAfter extends Payment {
  own_version: number | null;
  own_updated_at: number | null;
}
