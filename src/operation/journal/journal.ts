/** The journal: an operation is written here before anything is sent to a provider, and what comes of each call after it. */
import type { SealedPlace } from "../../auth/seal";
import type { Origin } from "../../context";
import { type Action, statusesBefore } from "../../payment/lifecycle";
import type { Payment } from "../../payment/payment";
import type { RefundDetails } from "../../payment/refund";
import { MAY_CONFIRM } from "../../payment/single";
import type { OperationKind } from "../../provider/seam";
import { commitTime } from "../../storage/clock";
import type { Database } from "../../storage/database";
import type { Idempotency } from "../../storage/idempotency";
import { join, raw, type Sql, sql } from "../../storage/sql";
import type { KeyBefore } from "../classify";
import { minorOr } from "../run-action";
import {
  type Book,
  type BookRows,
  bookOf,
  bookStatements,
  findKey,
  type IdempotencyKeyRow,
  keyBeforeOf,
  type OperationRow,
} from "./book";

/** A call to the provider, and what came of it. */
export interface Attempt {
  /** In milliseconds. */
  readonly at: number;
  readonly call: "prepare" | "perform" | "release" | "observe";
  readonly outcome: string;
}

/** Calls that an operation remembers: the newest. */
const MAX_ATTEMPTS_KEPT = 20;

/** Where the request of an operation is sealed: it opens in its own row only. */
export const requestPlace = (merchantId: number, paymentId: number, nonce: string): SealedPlace => ({
  account: "operations",
  merchantId,
  field: `operations/${paymentId}/${nonce}/request`,
});

/** An operation that is about to be asked for, of a payment that may not have been read yet. */
export interface NewOperation {
  readonly action: Action;
  readonly kind: OperationKind;
  readonly nonce: string;
  /** Sealed for `requestPlace`. */
  readonly request: string;
  readonly refund: RefundDetails | null;
  readonly dueAt: number;
  /** Who asks for it: a request, unless something else is said. */
  readonly source?: "request" | "expiry";
}

/** Under which conditions an operation is opened. */
export interface OpenConditions {
  readonly idempotency: Idempotency | null;
  readonly expected: readonly number[] | null;
  /** What is to be moved, in major units; null for all that is left. */
  readonly amount: number | string | null;
  /** The providers that can do what is asked for. */
  readonly providers: readonly string[];
  /** Those that can where the payment's creation has named what the request leaves out, by what that is. */
  readonly withItsOwn?: Readonly<Partial<Record<OwnField, readonly string[]>>>;
}

/** What a payment's creation may have named for its confirmation. */
export const OWN_FIELDS = ["payment_method", "return_url"] as const;
export type OwnField = (typeof OWN_FIELDS)[number];

/** Where an operation stands in the way of another: it is not known what has become of it, or it decides over the same money. */
const BLOCKING = raw("(state IN ('open', 'unknown') OR state = 'pending' AND kind IN ('capture', 'cancel'))");

export const isBlocking = ({ state, kind }: Pick<OperationRow, "state" | "kind">): boolean =>
  state === "open" || state === "unknown" || (state === "pending" && (kind === "capture" || kind === "cancel"));

/** What has gone back of a payment, or may still: refunds, those under way too, and what is disputed. As SQL on its row. */
const GONE = raw(`(refunded_minor
  + (SELECT coalesce(sum(other.amount_minor), 0) FROM operations AS other WHERE other.payment_id = payments.id
    AND other.merchant_id = payments.merchant_id AND other.kind = 'refund' AND other.state IN ('open', 'unknown', 'pending'))
  + (SELECT coalesce(sum(disputes.amount_minor), 0) FROM disputes WHERE disputes.payment_id = payments.id
    AND disputes.merchant_id = payments.merchant_id AND disputes.state IN ('open', 'lost')))`);

/** Nothing new begins at an account that is disabled; what has begun there goes on. As SQL on the payment's row. */
const ACCOUNT_IS_ENABLED = raw(`(provider_account_id IS NULL OR EXISTS (SELECT 1 FROM provider_accounts AS account
    WHERE account.id = payments.provider_account_id AND account.merchant_id = payments.merchant_id AND account.disabled_at IS NULL))`);

/** The most that an operation of each kind may be of, as SQL on the payment's row. */
const LEFT: Readonly<Record<OperationKind, Sql>> = {
  authorize: raw("payments.amount_minor"),
  capture: raw("payments.amount_minor"),
  cancel: raw("payments.amount_minor"),
  refund: sql`payments.captured_minor - ${GONE}`,
};

/**
 * Opens an operation: its row and its idempotency key, when the payment's status allows it, nothing stands in its way and there
 * is enough money left. One round trip, which reads the book as well. Safe to run twice: the nonce tells.
 *
 * @returns the book as it is after it; null when the merchant has no such payment, and the key none either
 */
export async function openOperation(
  db: Database,
  { merchantId, keyId, requestId, now }: Origin,
  paymentId: number,
  { action, kind, nonce, request, refund, dueAt, source = "request" }: NewOperation,
  { idempotency, expected, amount, providers, withItsOwn = {} }: OpenConditions,
): Promise<{
  readonly opened: OperationRow | null;
  readonly book: Book | null | "key_reused";
  readonly attempts: number;
}> {
  const time = commitTime(now);
  const isIts = raw("other.payment_id = payments.id AND other.merchant_id = payments.merchant_id");
  const versions = expected && JSON.stringify(expected);
  const key = idempotency?.key ?? null;
  const moved = minorOr(amount, LEFT[kind]);
  const conditions = [
    sql`payments.id = ${paymentId} AND payments.merchant_id = ${merchantId}`,
    sql`(provider IN (SELECT value FROM json_each(${JSON.stringify(providers)})) ${join(
      OWN_FIELDS.map(
        (field) => sql`OR ${raw(field)} IS NOT NULL
      AND provider IN (SELECT value FROM json_each(${JSON.stringify(withItsOwn[field] ?? [])}))`,
      ),
      " ",
    )})`,
    sql`status IN (SELECT value FROM json_each(${JSON.stringify(statusesBefore(action))}))`,
    sql`(${versions} IS NULL OR version IN (SELECT value FROM json_each(${versions})))`,
    sql`NOT EXISTS (SELECT 1 FROM operations AS other WHERE ${isIts} AND (${BLOCKING} OR nonce = ${nonce}))`,
    sql`NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE merchant_id = ${merchantId} AND key = ${key})`,
    sql`${moved} BETWEEN 1 AND ${LEFT[kind]}`,
    // Nothing is asked of a provider about a payment that it has not heard of.
    ...(kind === "authorize"
      ? []
      : [sql`EXISTS (SELECT 1 FROM operations AS other WHERE ${isIts} AND other.provider_reference IS NOT NULL)`]),
    ...(kind === "authorize" ? [MAY_CONFIRM, ACCOUNT_IS_ENABLED] : []),
    ...(kind === "authorize" ? [sql`(expires_at IS NULL OR expires_at > ${time})`] : []),
  ];
  const insert = sql`
    INSERT INTO operations (merchant_id, payment_id, number, kind, amount_minor, state, source, nonce, request, reason, metadata,
      key_id, request_id, idempotency_key, due_at, created_at, updated_at)
    SELECT merchant_id, id, 1 + coalesce((SELECT max(number) FROM operations AS other WHERE ${isIts}), 0), ${kind}, ${moved}, 'open',
      ${source}, ${nonce}, ${request}, ${refund?.reason ?? null}, ${JSON.stringify(refund?.metadata ?? {})}, ${keyId}, ${requestId},
      ${key}, ${dueAt}, ${time}, ${time}
    FROM payments WHERE ${join(conditions, " AND ")}`;
  const insertKey =
    idempotency &&
    sql`
    INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
    SELECT ${merchantId}, ${idempotency.key}, ${idempotency.fingerprint}, ${paymentId}, ${time} WHERE changes() = 1`;
  const { rows, attempts } = await db.batch<[IdempotencyKeyRow, never, never, ...BookRows]>([
    idempotency && findKey(merchantId, idempotency.key),
    insert,
    insertKey,
    ...bookStatements(merchantId, paymentId),
  ]);
  const [[found], , , ...read] = rows;
  const keyBefore = keyBeforeOf(found, idempotency);
  const book = bookOf(read, keyBefore);
  const opened = book?.operations.find((operation) => operation.nonce === nonce) ?? null;
  return { opened, book: book ?? (keyBefore === "free" ? null : "key_reused"), attempts };
}

/** Commits the provider's name for a payment, before its money is asked for: of its operation, for no event tells of it yet. */
export async function commitReference(
  db: Database,
  { merchant_id, payment_id, number }: OperationRow,
  reference: string,
  attempt: Attempt,
): Promise<void> {
  // Another instance of the object may have had it made under the same key, and got the same name.
  await db.all(sql`
    UPDATE operations SET provider_reference = ${reference}, attempts = ${appended([attempt])}
    WHERE merchant_id = ${merchant_id} AND payment_id = ${payment_id} AND number = ${number} AND provider_reference IS NULL`);
}

/** The calls of an operation with one more, the newest last, as SQL on its row. */
export function appended(attempts: readonly Attempt[]): Sql {
  return sql`(SELECT json_group_array(json(value)) FROM (
    SELECT value FROM (
      SELECT value, key AS place FROM json_each(attempts) UNION ALL SELECT value, 1000 + key FROM json_each(${JSON.stringify(attempts)})
      ORDER BY place DESC LIMIT ${raw(String(MAX_ATTEMPTS_KEPT))}) ORDER BY place))`;
}

/** Records a call that changed nothing, and when the provider is asked again. One round trip. */
export async function postpone(
  db: Database,
  { merchant_id, payment_id, number, state, due_at }: OperationRow,
  attempts: readonly Attempt[],
  dueAt: number | null,
  now: number,
): Promise<void> {
  // A time that stays is left alone: naming it would write its entry in the index anew.
  const later = due_at === dueAt ? raw("") : sql`due_at = ${dueAt}, attempted = attempted + (due_at IS NOT ${dueAt}), `;
  await db.all(sql`
    UPDATE operations SET ${later}attempts = ${appended(attempts)},
      updated_at = max(updated_at, ${commitTime(now)})
    WHERE merchant_id = ${merchant_id} AND payment_id = ${payment_id} AND number = ${number} AND state = ${state}`);
}

/**
 * Records the key of a success that changed nothing, while the payment is as it was read: it may have gone on since. One round trip.
 *
 * @returns what the key stands for then; `free` where the payment has gone on, and nothing was recorded
 */
export async function recordKey(
  db: Database,
  { id, merchant_id, status }: Payment,
  { key, fingerprint }: Idempotency,
  now: number,
): Promise<KeyBefore> {
  const { rows } = await db.batch<[never, IdempotencyKeyRow]>([
    sql`
    INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
    SELECT merchant_id, ${key}, ${fingerprint}, id, ${commitTime(now)} FROM payments
    WHERE id = ${id} AND merchant_id = ${merchant_id} AND status = ${status}
    ON CONFLICT (merchant_id, key) DO NOTHING`,
    findKey(merchant_id, key),
  ]);
  return keyBeforeOf(rows[1][0], { key, fingerprint });
}
