/** A reconciliation item: what a provider says otherwise than the service, for a person to look at. Pure. */

/**
 * Why a person has to look at something: what it means, and what to do about it. The API document, the dashboard and
 * docs/reconciliation.md take it from here.
 */
export const RECONCILIATION = {
  late_success: {
    means: "The provider took or holds money for a payment that has ended here as failed, cancelled or expired.",
    remedy: "Give the money back at the provider, or deliver and make a note of it: the payment here stays as it is.",
  },
  amount_mismatch: {
    means:
      "The provider has another amount or currency than the service: of the payment, of its capture, or of a refund.",
    remedy: "Compare the two with what was ordered, and correct it at the provider.",
  },
  over_refunded: {
    means: "Refunds, those under way too, and lost disputes come to more than was captured.",
    remedy: "Cancel a refund that is still pending at the provider, or claim the money back from the payer.",
  },
  unknown_payment: {
    means: "The provider has sent a notification about a payment that is not known here.",
    remedy: "Look it up at the provider: either something else uses the same account, or a payment is missing here.",
  },
  missing_here: {
    means:
      "The provider took or holds money, or is about to, for a payment that is not here, or that has another name at the provider here.",
    remedy: "Find the order by its time and amount at the provider; then give the money back there, or deliver.",
  },
  missing_there: {
    means: "A payment is here with its name at the provider, and the provider knows no such payment.",
    remedy: "Check that the account's key is of the account that the payment was made at. If it is, do not deliver.",
  },
  status_mismatch: {
    means:
      "The provider has the payment in a status that does not go with the one here, also after it was asked again.",
    remedy: "Ask again with POST /payments/{payment_id}/sync; if it stays, the provider is right about the money.",
  },
  unknown_refund: {
    means: "The provider has a refund that the service could not adopt: its payment is not here, or is not paid here.",
    remedy: "Look up the refund at the provider, and correct the order that it belongs to.",
  },
  unknown_dispute: {
    means: "The provider has a dispute that the service could not adopt: its payment is not here, or is not paid here.",
    remedy: "Answer it at the provider before its deadline there; the service does not show it among disputes.",
  },
} as const satisfies Readonly<Record<string, { readonly means: string; readonly remedy: string }>>;

export type ReconciliationKind = keyof typeof RECONCILIATION;
export const RECONCILIATION_KINDS = Object.keys(RECONCILIATION) as [ReconciliationKind, ...ReconciliationKind[]];

/** Whether a person has still to look at it. */
export const ITEM_STATES = ["open", "resolved"] as const;
export type ItemState = (typeof ITEM_STATES)[number];

/** What was found; times in milliseconds. */
export interface ReconciliationItem {
  readonly id: number;
  /** 0 where no payment is known. */
  readonly payment_id: number;
  /** The provider account, such as `stripe_3`; null where the provider has none. */
  readonly account: string | null;
  readonly kind: ReconciliationKind;
  /** The provider's name for what it is about. */
  readonly reference: string;
  /** What was found, in a sentence. */
  readonly detail: string;
  /** When it was first found. */
  readonly created_at: number;
  /** Null while it is open. */
  readonly resolved_at: number | null;
  /** The key that resolved it; null in open mode, too. */
  readonly resolved_by: string | null;
  /** Why it is resolved. */
  readonly resolution: string | null;
}

/** What an event keeps of its item, which was open then. */
export type StoredItem = Pick<ReconciliationItem, "id" | "account" | "kind" | "reference" | "detail" | "created_at">;

/** The item of a payment as an event told of it. */
export const itemOfEvent = (paymentId: number, stored: StoredItem): ReconciliationItem => {
  return { ...stored, payment_id: paymentId, resolved_at: null, resolved_by: null, resolution: null };
};

export interface ReconciliationItemResponse {
  id: number;
  payment_id: number | null;
  account: string | null;
  kind: ReconciliationKind;
  reference: string;
  detail: string;
  state: ItemState;
  created_at: string;
  resolved_at: string | null;
  resolved_by: string | null;
  resolution: string | null;
}

/** An item as everybody outside sees it: times in RFC 3339. */
export function toItemResponse(item: ReconciliationItem): ReconciliationItemResponse {
  const { id, payment_id, account, kind, reference, detail, created_at, resolved_at, resolved_by, resolution } = item;
  return {
    id,
    payment_id: payment_id === 0 ? null : payment_id,
    account,
    kind,
    reference,
    detail,
    state: resolved_at === null ? "open" : "resolved",
    created_at: new Date(created_at).toISOString(),
    resolved_at: resolved_at === null ? null : new Date(resolved_at).toISOString(),
    resolved_by,
    resolution,
  };
}

/**
 * What an item says, in a sentence, of amounts as `amountText` writes them. The reducer and reconciliation say the same of the same, so
 * that one finding is one item, and does not open again what a person has resolved.
 */
export const FINDINGS = {
  otherAmount: (theirs: string, ours: string) => `The provider has ${theirs} where the payment is of ${ours}`,
  otherCapture: (theirs: string, ours: string) => `The provider captured ${theirs}, and not ${ours}`,
  otherRefund: (theirs: string, ours: string) => `The provider has a refund of ${theirs}, and not of ${ours}`,
  otherRefunds: (theirs: string, ours: string) => `The provider gave back ${theirs}, and not ${ours}`,
  lateCapture: (theirs: string, status: string) => `The provider captured ${theirs} of a payment that is ${status}`,
  lateAuthorization: (theirs: string, status: string) => `The provider holds ${theirs} for a payment that is ${status}`,
} as const;
