/** A dispute: a payer's objection to a payment, as its provider has told of it. Pure. */
import { currencyExponent } from "../money/currency";
import { toMajor } from "../money/money";
import type { ProviderDispute } from "./seam";

/** Times in milliseconds. */
export interface Dispute {
  readonly payment_id: number;
  /** The provider's name for it. */
  readonly reference: string;
  /** In minor units of the payment's currency. */
  readonly amount_minor: number;
  readonly currency: string;
  readonly state: ProviderDispute["state"];
  /** The payer's, in the provider's words. */
  readonly reason: string | null;
  /** Until when evidence is taken; null where there is no such time. */
  readonly due_at: number | null;
  readonly created_at: number;
  readonly updated_at: number;
}

/** What an event keeps of its dispute, beside what the event says itself. */
export type StoredDispute = Pick<Dispute, "reference" | "amount_minor" | "state" | "reason" | "due_at">;

export const toStoredDispute = ({ amountMinor, dueAt, ...dispute }: ProviderDispute): StoredDispute => ({
  ...dispute,
  amount_minor: amountMinor,
  due_at: dueAt,
});

export interface DisputeResponse {
  payment_id: number;
  reference: string;
  amount: number;
  currency: string;
  state: Dispute["state"];
  reason: string | null;
  due_at: string | null;
  created_at: string;
  updated_at: string;
}

/** A dispute as everybody outside sees it: the amount in major units, times in RFC 3339. */
export function toDisputeResponse(dispute: Dispute): DisputeResponse {
  const exponent = currencyExponent(dispute.currency);
  if (exponent === undefined) throw new Error(`A dispute is stored in the unknown currency ${dispute.currency}`);
  return {
    payment_id: dispute.payment_id,
    reference: dispute.reference,
    amount: toMajor(dispute.amount_minor, exponent),
    currency: dispute.currency,
    state: dispute.state,
    reason: dispute.reason,
    due_at: dispute.due_at === null ? null : new Date(dispute.due_at).toISOString(),
    created_at: new Date(dispute.created_at).toISOString(),
    updated_at: new Date(dispute.updated_at).toISOString(),
  };
}
