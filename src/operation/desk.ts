/** What running at a provider works with: the way there, and what of a book is said and asked on it. */
import type { Origin } from "../context";
import type { DeliveryId } from "../outbox/outbox";
import type { Adapter, Connection, OperationRequest, ProviderOperation, ProviderPayment } from "../provider/seam";
import type { Database } from "../storage/database";
import type { Book, OperationRow } from "./journal/book";
import type { Attempt } from "./journal/journal";
import { isUnsettled, type OperationView } from "./reducer/change";

/** What the protocol needs of whoever runs it. */
export interface Desk {
  readonly db: Database;
  readonly adapter: Adapter;
  readonly connection: Connection;
  /** Opens what is sent for an operation. */
  readonly openRequest: (row: OperationRow, book: Book) => Promise<OperationRequest>;
  readonly enqueue: (deliveries: readonly DeliveryId[]) => Promise<void>;
  /** In milliseconds. */
  readonly now: () => number;
  /** A request may lead to several changes, and may come twice: each commit is known by an id of its own. */
  readonly newCommitId: () => string;
}

/** Who asked for an operation: what becomes of it later is in that request's name. */
export const originOf = (origin: Origin, { key_id, request_id }: OperationRow): Origin => ({
  ...origin,
  keyId: key_id,
  requestId: request_id,
});

export const momentOf = ({ now, adapter }: Desk) => ({ now: now(), keyWindowMs: adapter.capabilities.keyWindowMs });

export const unsettled = ({ operations }: Book): OperationRow[] => operations.filter(({ state }) => isUnsettled(state));

export function rowOf({ operations }: Book, number: number): OperationRow {
  const row = operations.find((one) => one.number === number);
  if (row === undefined) throw new Error(`The payment has no operation ${number}`);
  return row;
}

export function viewOf({ view }: Book, number: number): OperationView {
  const operation = view.operations.find((one) => one.number === number);
  if (operation === undefined) throw new Error(`The payment has no operation ${number}`);
  return operation;
}

export function paymentOf({ payment, view }: Book): ProviderPayment {
  return {
    id: payment.id,
    merchantId: payment.merchant_id,
    amountMinor: payment.amount_minor,
    currency: payment.currency,
    captureMethod: payment.capture_method,
    reference: view.providerReference,
  };
}

export async function operationOf(desk: Desk, book: Book, row: OperationRow): Promise<ProviderOperation> {
  if (row.nonce === null) throw new Error("An operation of the provider's own is never sent");
  const request = await desk.openRequest(row, book);
  const { kind, amount_minor: amountMinor, nonce, created_at: openedAt } = row;
  return { kind, payment: paymentOf(book), amountMinor, nonce, request, openedAt };
}

export function attemptOf(
  desk: Desk,
  call: Attempt["call"],
  answer: { readonly tag: string; readonly detail?: string },
): Attempt {
  const outcome = answer.detail === undefined ? answer.tag : `${answer.tag}: ${answer.detail}`;
  return { at: desk.now(), call, outcome };
}
