/** A refund: money given back of a payment, all at once or in parts. Pure. */
import { currencyExponent } from "../money/currency";
import { toMajor } from "../money/money";
import type { Failure } from "../provider/failures";

/** Where a refund is: `pending` while its provider has not decided. One that has succeeded may fail later. */
export const REFUND_STATUSES = ["pending", "succeeded", "failed"] as const;
export type RefundStatus = (typeof REFUND_STATUSES)[number];

/** What whoever asks for a refund says of it. */
export interface RefundDetails {
  readonly reason: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A refund; times in milliseconds. */
export interface Refund extends RefundDetails {
  readonly payment_id: number;
  /** Of the refunds of its payment, this one's alone; a later one has a higher number. */
  readonly number: number;
  /** In minor units of the payment's currency. */
  readonly amount_minor: number;
  readonly currency: string;
  readonly status: RefundStatus;
  readonly failure: Failure | null;
  readonly created_at: number;
  readonly updated_at: number;
}

/** What an event keeps of its refund, beside what the event says itself: more than the details where a provider decides. */
export type StoredRefund = RefundDetails & Partial<Refund>;

/** What the event of a refund says of it by itself. */
export type RefundEvent = Pick<Refund, "payment_id" | "number" | "amount_minor" | "currency" | "created_at">;

/**
 * The refund that an event tells of, as it was then. One that settles at once is the event itself: its number is the event's
 * sequence, its amount what the payment's total has risen by.
 */
export function refundOf(event: RefundEvent, stored: StoredRefund): Refund {
  return { ...event, status: "succeeded", failure: null, updated_at: event.created_at, ...stored };
}

/** What a refund is called, for ever: `re_<payment>_<number>`. */
export function refundId({ payment_id, number }: Pick<Refund, "payment_id" | "number">): string {
  return `re_${payment_id}_${number}`;
}

/** The texts that are ids of refunds, in the document. */
export const REFUND_ID_PATTERN = "^re_[1-9][0-9]{0,15}_[1-9][0-9]{0,15}$";
const REFUND_ID = /^re_([1-9]\d{0,15})_([1-9]\d{0,15})$/;

/** The refund that an id names; null when it is none. */
export function readRefundId(id: string): Pick<Refund, "payment_id" | "number"> | null {
  const [, payment, number] = REFUND_ID.exec(id) ?? [];
  // What is beyond the safe integers is rounded, and to none of them: nothing has such an id.
  return payment === undefined ? null : { payment_id: Number(payment), number: Number(number) };
}

export interface RefundResponse {
  id: string;
  payment_id: number;
  amount: number;
  currency: string;
  status: RefundStatus;
  reason: string | null;
  metadata: Record<string, string>;
  failure: Failure | null;
  created_at: string;
  updated_at: string;
}

/** A refund as everybody outside sees it: the amount in major units, times in RFC 3339. */
export function toRefundResponse(refund: Refund): RefundResponse {
  const exponent = currencyExponent(refund.currency);
  if (exponent === undefined) throw new Error(`A refund is stored in the unknown currency ${refund.currency}`);
  return {
    id: refundId(refund),
    payment_id: refund.payment_id,
    amount: toMajor(refund.amount_minor, exponent),
    currency: refund.currency,
    status: refund.status,
    reason: refund.reason,
    metadata: { ...refund.metadata },
    failure: refund.failure,
    created_at: new Date(refund.created_at).toISOString(),
    updated_at: new Date(refund.updated_at).toISOString(),
  };
}
