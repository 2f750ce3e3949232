/** The book of a payment: what it is, with all that was asked of its provider for it, read whole from D1. */
import type { InferSelectModel } from "drizzle-orm";
import { PAYMENT_COLUMNS, type Payment } from "../../payment/payment";
import type { Refund, RefundStatus } from "../../payment/refund";
import { accountOfPayment, type ProviderAccountRow } from "../../provider/accounts/accounts";
import type { BatchRows, Database } from "../../storage/database";
import type { Idempotency } from "../../storage/idempotency";
import { columnsOf, type Sql, sql } from "../../storage/sql";
import type { KeyBefore } from "../classify";
import { isUnsettled, type OperationView, type PaymentView } from "../reducer/change";
import type { disputes, operations, reconciliationItems } from "../tables";

export type OperationRow = InferSelectModel<typeof operations>;
type DisputeRow = InferSelectModel<typeof disputes>;
type ItemRow = Pick<InferSelectModel<typeof reconciliationItems>, "kind" | "reference" | "detail" | "resolved_at">;

/** A payment with all that was asked of its provider for it. */
export interface Book {
  readonly payment: Payment;
  /** The means of payment that its creation brought along, sealed, and the creation's commit, which it is sealed for. */
  readonly paymentMethod: { readonly sealed: string; readonly commitId: string } | null;
  /** The account at the provider; null where that has none. */
  readonly account: ProviderAccountRow | null;
  readonly operations: readonly OperationRow[];
  readonly view: PaymentView;
  readonly keyBefore: KeyBefore;
  /** What the provider's own script is started with, as the provider has just said it; kept nowhere. */
  readonly clientSecret?: string;
}

const OPERATION_COLUMNS = columnsOf<OperationRow>({
  merchant_id: true,
  payment_id: true,
  number: true,
  kind: true,
  amount_minor: true,
  state: true,
  source: true,
  nonce: true,
  request: true,
  provider_reference: true,
  failure: true,
  reason: true,
  metadata: true,
  key_id: true,
  request_id: true,
  idempotency_key: true,
  due_at: true,
  attempted: true,
  attempts: true,
  created_at: true,
  updated_at: true,
});

type PaymentRow = Payment & { readonly payment_method: string | null; readonly created_by: string | null };

/** What `readBook` reads, as statements for a batch that ends with it. */
export function bookStatements(merchantId: number, paymentId: number): [Sql, Sql, Sql, Sql, Sql] {
  const isIts = sql`merchant_id = ${merchantId} AND payment_id = ${paymentId}`;
  return [
    sql`SELECT ${PAYMENT_COLUMNS}, payment_method, iif(payment_method IS NULL, NULL, (
        SELECT commit_id FROM events WHERE events.merchant_id = payments.merchant_id AND position = event_positions ->> '$[0]'
      )) AS created_by FROM payments WHERE id = ${paymentId} AND merchant_id = ${merchantId}`,
    sql`SELECT ${OPERATION_COLUMNS} FROM operations WHERE ${isIts} ORDER BY number`,
    sql`SELECT * FROM disputes WHERE ${isIts} ORDER BY reference`,
    sql`SELECT kind, reference, detail, resolved_at FROM reconciliation_items WHERE ${isIts} ORDER BY id`,
    accountOfPayment(merchantId, paymentId),
  ];
}

/** The rows of the statements of `bookStatements`. */
export type BookRows = [PaymentRow, OperationRow, DisputeRow, ItemRow, ProviderAccountRow];

/** The book that was read; null when the merchant has no such payment. */
export function bookOf(
  [payments, operations, disputes, items, [account]]: BatchRows<BookRows>,
  keyBefore: KeyBefore,
): Book | null {
  const [row] = payments;
  if (row === undefined) return null;
  const { payment_method: sealed, created_by: commitId, ...payment } = row;
  const authorised = operations.find(
    ({ kind, provider_reference }) => kind === "authorize" && provider_reference !== null,
  );
  const view: PaymentView = {
    status: payment.status,
    amountMinor: payment.amount_minor,
    currency: payment.currency,
    captureMethod: payment.capture_method,
    capturedMinor: payment.captured_minor,
    refundedMinor: payment.refunded_minor,
    failure: payment.failure === null ? null : JSON.parse(payment.failure),
    nextAction: payment.next_action === null ? null : JSON.parse(payment.next_action),
    providerReference: payment.provider_reference ?? authorised?.provider_reference ?? null,
    operations: operations.map(toOperationView),
    disputes: disputes.map(({ reference, amount_minor, state, reason, due_at }) => {
      return { reference, amountMinor: amount_minor, state, reason, dueAt: due_at };
    }),
    items: items.map(({ resolved_at, ...item }) => ({ ...item, isResolved: resolved_at !== null })),
  };
  const paymentMethod = sealed === null || commitId === null ? null : { sealed, commitId };
  return { payment, paymentMethod, account: account ?? null, operations, view, keyBefore };
}

/** Where a refund is, by the state of its operation. */
export const REFUND_STATUS: Readonly<Record<OperationRow["state"], RefundStatus>> = {
  open: "pending",
  unknown: "pending",
  pending: "pending",
  succeeded: "succeeded",
  declined: "failed",
  failed: "failed",
};

/** The refund that an operation is. */
export function refundOfOperation(row: OperationRow, currency: string): Refund {
  return {
    payment_id: row.payment_id,
    number: row.number,
    amount_minor: row.amount_minor,
    currency,
    status: REFUND_STATUS[row.state],
    failure: row.failure === null ? null : JSON.parse(row.failure),
    reason: row.reason,
    metadata: JSON.parse(row.metadata),
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

function toOperationView(row: OperationRow): OperationView {
  const { number, kind, amount_minor, state, nonce, provider_reference, failure, source } = row;
  return {
    number,
    kind,
    amountMinor: amount_minor,
    state,
    nonce,
    // An authorisation's is the payment's.
    providerReference: kind === "refund" ? provider_reference : null,
    failure: failure === null ? null : JSON.parse(failure),
    source,
  };
}

/** Reads the book of a payment, and what a key stands for. One round trip. */
export async function readBook(
  db: Database,
  merchantId: number,
  paymentId: number,
  idempotency: Idempotency | null,
): Promise<Book | null | "key_reused"> {
  const { rows } = await db.batch<[IdempotencyKeyRow, ...BookRows]>([
    idempotency && findKey(merchantId, idempotency.key),
    ...bookStatements(merchantId, paymentId),
  ]);
  const [[key], ...book] = rows;
  const keyBefore = keyBeforeOf(key, idempotency);
  return bookOf(book, keyBefore) ?? (keyBefore === "free" ? null : "key_reused");
}

export const findKey = (merchantId: number, key: string): Sql =>
  sql`SELECT fingerprint FROM idempotency_keys WHERE merchant_id = ${merchantId} AND key = ${key}`;

export interface IdempotencyKeyRow {
  readonly fingerprint: string;
}

export function keyBeforeOf(key: IdempotencyKeyRow | undefined, idempotency: Idempotency | null): KeyBefore {
  if (key === undefined) return "free";
  return key.fingerprint === idempotency?.fingerprint ? "same request" : "other request";
}

/** What refunds that are under way, and disputes that are open or lost, may take of a payment, in minor units. */
export function heldMinor({ operations, disputes }: PaymentView): number {
  const going = operations.filter(({ kind, state }) => kind === "refund" && isUnsettled(state));
  const disputed = disputes.filter(({ state }) => state === "open" || state === "lost");
  return [...going, ...disputed].reduce((held, { amountMinor }) => held + amountMinor, 0);
}

/** What may still go back of a payment, in minor units. */
export function refundableMinor({ view }: Book): number {
  return view.capturedMinor - view.refundedMinor - heldMinor(view);
}
