/**
 * What `reduce` decides on and what it decides: a payment with all that was asked for it, and the next change of it. Pure.
 * Amounts are minor units of the payment's currency.
 */
import type { PaymentEventType } from "../../outbox/event-types";
import type { Status } from "../../payment/lifecycle";
import type { Failure } from "../../provider/failures";
import type { ReconciliationKind } from "../../provider/reconciliation";
import type { CaptureMethod, NextAction, OperationKind, ProviderDispute } from "../../provider/seam";

/**
 * Where an operation is: `open` while it is being sent, `unknown` when no answer came, `pending` while the provider works on it.
 * The others are final, but for a refund that had succeeded and fails later.
 */
export const OPERATION_STATES = ["open", "unknown", "pending", "succeeded", "declined", "failed"] as const;
export type OperationState = (typeof OPERATION_STATES)[number];

/** Who asked for an operation: a request, the payment's expiry, or somebody at the provider. */
export const OPERATION_SOURCES = ["request", "expiry", "provider"] as const;

/** Whether an operation may still come to something. */
export const isUnsettled = (state: OperationState): boolean =>
  state === "open" || state === "unknown" || state === "pending";

/** One thing that was asked of the provider for the payment. */
export interface OperationView {
  /** 1, 2, 3… within the payment. */
  readonly number: number;
  readonly kind: OperationKind;
  readonly amountMinor: number;
  readonly state: OperationState;
  /** The operation's alone, also at the provider; null of one that was adopted and has none there. */
  readonly nonce: string | null;
  /** The provider's name for what came of it: of a refund, the refund's. Null before the provider was seen to have it. */
  readonly providerReference: string | null;
  readonly failure: Failure | null;
  /** `provider` where nobody here asked for it: it was found at the provider, and adopted. */
  readonly source: (typeof OPERATION_SOURCES)[number];
}

/** A dispute as it is recorded. */
export type DisputeView = ProviderDispute;

/** What a person has to look at. */
export interface ItemToOpen {
  readonly kind: ReconciliationKind;
  /** What it is about: the provider's name for the payment or the refund. */
  readonly reference: string;
  /** What was found, in a sentence, with amounts in major units. */
  readonly detail: string;
}

/** A reconciliation item that was opened. */
export interface ItemView extends ItemToOpen {
  /** Whether a person has resolved what `detail` says. */
  readonly isResolved: boolean;
}

/** A payment with all that was asked for it, as D1 has it. */
export interface PaymentView {
  readonly status: Status;
  readonly amountMinor: number;
  readonly currency: string;
  readonly captureMethod: CaptureMethod;
  /** 0 before anything was captured. */
  readonly capturedMinor: number;
  /** What refunds that have succeeded sum up to, and never more than was captured. */
  readonly refundedMinor: number;
  readonly failure: Failure | null;
  readonly nextAction: NextAction | null;
  /** The provider's name for the payment; null before it has one. */
  readonly providerReference: string | null;
  readonly operations: readonly OperationView[];
  readonly disputes: readonly DisputeView[];
  readonly items: readonly ItemView[];
}

/** The event of a change. */
export type ChangeEventType =
  | Exclude<PaymentEventType, "payment.created" | "payment.updated">
  | "reconciliation.item_opened";

/** What stands in an event beside the payment: the refund (its operation's number), the dispute or the item that it tells of. */
export interface ChangeEvent {
  readonly type: ChangeEventType;
  readonly refund: number | null;
  /** The provider's name for the dispute. */
  readonly dispute: string | null;
}

/** The fields of a payment that a change sets; one that is absent stays. */
export type PaymentPatch = Partial<
  Pick<PaymentView, "status" | "capturedMinor" | "refundedMinor" | "failure" | "nextAction" | "providerReference">
>;

/** An operation with all of its fields as they are after the change. */
export type OperationUpdate = Pick<OperationView, "number" | "state" | "failure" | "providerReference">;

/**
 * The next change of a payment: what one commit writes. Whatever is empty or null is not changed; at least one part is
 * neither.
 */
export interface Change {
  readonly payment: PaymentPatch;
  /** The one event of the commit; null where nothing changes that anybody is told of. */
  readonly event: ChangeEvent | null;
  /** Operations that the payment has, as they are now. */
  readonly operations: readonly OperationUpdate[];
  /** A refund that nobody here asked for, to be inserted as an operation. */
  readonly adopt: OperationView | null;
  /** A dispute to insert, or, where the payment has one of this reference, to overwrite. */
  readonly dispute: DisputeView | null;
  /** An item to open, or to open again. */
  readonly item: ItemToOpen | null;
}

/** A change of nothing, for those that name only what they change. */
export const NO_CHANGE: Change = { payment: {}, event: null, operations: [], adopt: null, dispute: null, item: null };

/** The payment after a change, as it would be read again once the change was committed. */
export function applyChange(view: PaymentView, { payment, operations, adopt, dispute, item }: Change): PaymentView {
  const updates = new Map(operations.map((update) => [update.number, update]));
  const changed = view.operations.map((operation) => ({ ...operation, ...updates.get(operation.number) }));
  const others = view.disputes.filter(({ reference }) => reference !== dispute?.reference);
  const otherItems = view.items.filter((one) => one.kind !== item?.kind || one.reference !== item.reference);
  return {
    ...view,
    ...payment,
    operations: adopt === null ? changed : [...changed, adopt],
    disputes: dispute === null ? view.disputes : [...others, dispute],
    items: item === null ? view.items : [...otherItems, { ...item, isResolved: false }],
  };
}
