/** What a provider's word changes once a payment is paid: refunds, disputes, and the sum that they may come to. Pure. */
import { amountText } from "../../money/money";
import type { Failure } from "../../provider/failures";
import { FINDINGS, type ReconciliationKind } from "../../provider/reconciliation";
import type { ProviderRefund, Snapshot } from "../../provider/seam";
import {
  type Change,
  type ChangeEventType,
  type DisputeView,
  isUnsettled,
  NO_CHANGE,
  type OperationUpdate,
  type OperationView,
  type PaymentPatch,
  type PaymentView,
} from "./change";

/** Whether the payment has money that can go back. */
export const isPaid = ({ status }: PaymentView): boolean => status === "confirmed" || status === "refunded";

/** Opens an item, unless it was opened before; one that a person has resolved only where something else was found since. */
export function openItem(
  view: PaymentView,
  kind: ReconciliationKind,
  reference: string,
  detail: string,
): Change | null {
  const before = view.items.find((item) => item.kind === kind && item.reference === reference);
  if (before !== undefined && !(before.isResolved && before.detail !== detail)) return null;
  const event = { type: "reconciliation.item_opened", refund: null, dispute: null } as const;
  return { ...NO_CHANGE, event, item: { kind, reference, detail } };
}

/** How far a refund has come: a succeeded one may fail later, and never the reverse. */
const RANKS = { open: 0, unknown: 0, pending: 1, succeeded: 2, failed: 3, declined: 3 } as const;

/** The next change that the snapshot's refunds make. */
export function reduceRefunds(view: PaymentView, { refunds }: Snapshot): Change | null {
  if (!isPaid(view)) return null;
  // What failed makes room for what succeeded in its place.
  const inOrder = [...refunds].sort((a, b) => RANKS[b.state] - RANKS[a.state]);
  for (const refund of inOrder) {
    const operation = operationOf(view, refund);
    const change = operation === undefined ? adoptRefund(view, refund) : settleRefund(view, operation, refund);
    if (change !== null) return change;
  }
  return null;
}

/**
 * The operation that a refund at the provider came of, never by its amount. One that was given up here although the provider
 * has it stays as it is: what it came to is adopted.
 */
function operationOf({ operations }: PaymentView, { reference, nonce }: ProviderRefund): OperationView | undefined {
  const asked = refundsOf(operations);
  const known = asked.find(({ providerReference }) => providerReference === reference);
  if (known !== undefined || nonce === null) return known;
  return asked.find((one) => one.nonce === nonce && one.providerReference === null && isUnsettled(one.state));
}

function settleRefund(view: PaymentView, operation: OperationView, refund: ProviderRefund): Change | null {
  const { number, amountMinor, state } = operation;
  if (refund.amountMinor !== amountMinor) {
    const text = (minor: number) => amountText(minor, view.currency);
    const detail = FINDINGS.otherRefund(text(refund.amountMinor), text(amountMinor));
    return openItem(view, "amount_mismatch", refund.reference, detail);
  }
  if (RANKS[refund.state] <= RANKS[state]) return null;
  const update = { number, state: refund.state, failure: failureOf(refund), providerReference: refund.reference };
  const after = view.operations.map((one) => (one.number === number ? { ...one, ...update } : one));
  const effect = effectOf(view, after, update);
  // Of one whose answer is missing it was told when that was found (unanswered.ts).
  const isTold = state === "unknown" && refund.state === "pending";
  return { ...NO_CHANGE, ...effect, ...(isTold && { event: null }), operations: [update] };
}

/** Somebody made the refund at the provider: it counts like any other. */
function adoptRefund(view: PaymentView, refund: ProviderRefund): Change {
  const isTaken = view.operations.some(({ nonce }) => nonce !== null && nonce === refund.nonce);
  const adopt: OperationView = {
    number: Math.max(0, ...view.operations.map(({ number }) => number)) + 1,
    kind: "refund",
    amountMinor: refund.amountMinor,
    state: refund.state,
    nonce: isTaken ? null : refund.nonce,
    providerReference: refund.reference,
    failure: failureOf(refund),
    source: "provider",
  };
  return { ...NO_CHANGE, ...effectOf(view, [...view.operations, adopt], adopt), adopt };
}

function failureOf({ state, failure }: ProviderRefund): Failure | null {
  if (state !== "failed") return null;
  const message = "The provider could not make the refund, and does not say why";
  return failure ?? { code: "refund_failed", decline_code: null, message };
}

/** What a refund makes of its payment, which has these operations now. */
function effectOf(
  view: PaymentView,
  operations: readonly OperationView[],
  { number, state }: Pick<OperationUpdate, "number" | "state">,
): Pick<Change, "payment" | "event"> {
  const tell = (type: ChangeEventType) => ({ type, refund: number, dispute: null });
  // A payment never shows more than was captured; what is beyond that, an item says.
  const refundedMinor = Math.min(sum(refundsOf(operations).filter(hasSucceeded)), view.capturedMinor);
  const status = refundedMinor === view.capturedMinor ? "refunded" : "confirmed";
  const payment: PaymentPatch = {
    ...(refundedMinor !== view.refundedMinor && { refundedMinor }),
    ...(status !== view.status && { status }),
  };
  if (state === "pending") return { payment, event: tell("refund.created") };
  if (state === "failed") return { payment, event: tell("refund.failed") };
  return { payment, event: tell(payment.status === "refunded" ? "payment.refunded" : "refund.succeeded") };
}

const refundsOf = (operations: readonly OperationView[]) => operations.filter(({ kind }) => kind === "refund");
const hasSucceeded = ({ state }: OperationView) => state === "succeeded";
const sum = (amounts: readonly { readonly amountMinor: number }[]) =>
  amounts.reduce((total, { amountMinor }) => total + amountMinor, 0);

const DISPUTE_RANKS = { inquiry: 0, open: 1, won: 2, lost: 2 } as const;
const isClosed = ({ state }: DisputeView) => state === "won" || state === "lost";

/** The next change that the snapshot's disputes make. */
export function reduceDisputes(view: PaymentView, { disputes }: Snapshot): Change | null {
  if (!isPaid(view)) return null;
  for (const dispute of disputes) {
    const known = view.disputes.find(({ reference }) => reference === dispute.reference);
    const change = reduceDispute(known, dispute);
    if (change !== null) return change;
  }
  return null;
}

function reduceDispute(known: DisputeView | undefined, dispute: DisputeView): Change | null {
  const tell = (type: ChangeEventType) => ({ type, refund: null, dispute: dispute.reference });
  if (known === undefined) {
    // Whoever is told that it is closed was told that it was opened.
    const opened = isClosed(dispute) ? { ...dispute, state: "open" as const } : dispute;
    return { ...NO_CHANGE, dispute: opened, event: tell("dispute.opened") };
  }
  if (DISPUTE_RANKS[dispute.state] > DISPUTE_RANKS[known.state]) {
    // An inquiry that becomes a dispute holds money back from now on.
    return { ...NO_CHANGE, dispute, event: tell(isClosed(dispute) ? "dispute.closed" : "dispute.opened") };
  }
  const { amountMinor, reason, dueAt } = dispute;
  const isSame = amountMinor === known.amountMinor && reason === known.reason && dueAt === known.dueAt;
  return dispute.state !== known.state || isSame ? null : { ...NO_CHANGE, dispute };
}

/** More went back, or may still go back, than was captured: the provider allowed what is refused here. */
export function reportOverRefund(view: PaymentView): Change | null {
  if (!isPaid(view) || view.providerReference === null) return null;
  const refunds = refundsOf(view.operations);
  const refunded = sum(refunds.filter(hasSucceeded));
  const open = sum(refunds.filter(({ state }) => isUnsettled(state)));
  const lost = sum(view.disputes.filter(({ state }) => state === "lost"));
  if (refunded + open + lost <= view.capturedMinor) return null;
  const text = (minor: number) => amountText(minor, view.currency);
  const detail =
    `${text(refunded)} refunded, ${text(open)} in open refunds and ${text(lost)} in lost disputes are more than the ` +
    `${text(view.capturedMinor)} captured`;
  return openItem(view, "over_refunded", view.providerReference, detail);
}
