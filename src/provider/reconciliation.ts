/** A reconciliation item: what a provider says otherwise than the service, for a person to look at. Pure. */

/** Why a person has to look at a payment. */
export const RECONCILIATION_KINDS = ["late_success", "amount_mismatch", "over_refunded", "unknown_payment"] as const;
export type ReconciliationKind = (typeof RECONCILIATION_KINDS)[number];

/** What was found; times in milliseconds. */
export interface ReconciliationItem {
  /** 0 where no payment is known. */
  readonly payment_id: number;
  readonly kind: ReconciliationKind;
  /** The provider's name for what it is about. */
  readonly reference: string;
  /** What was found, in a sentence. */
  readonly detail: string;
  readonly created_at: number;
}

export interface ReconciliationItemResponse {
  payment_id: number | null;
  kind: ReconciliationKind;
  reference: string;
  detail: string;
  created_at: string;
}

/** An item as everybody outside sees it: times in RFC 3339. */
export function toItemResponse(item: ReconciliationItem): ReconciliationItemResponse {
  const { payment_id, kind, reference, detail, created_at } = item;
  return {
    payment_id: payment_id === 0 ? null : payment_id,
    kind,
    reference,
    detail,
    created_at: new Date(created_at).toISOString(),
  };
}
