/**
 * The one place that decides what a provider's word changes, whether it came with a call, a query or a notification. Pure.
 *
 * What it comes to depends on what the provider said last, not on what was heard in between, in which order or how often:
 * states only go forward. What is missing in a snapshot, or stands earlier there than here, is stale and takes nothing back.
 */
import { amountText } from "../../money/money";
import { LIFECYCLE, PROVIDER_MOVES, type Status } from "../../payment/lifecycle";
import type { Failure } from "../../provider/failures";
import { FINDINGS } from "../../provider/reconciliation";
import type { NextAction, ProviderStatus, Snapshot } from "../../provider/seam";
import {
  type Change,
  isUnsettled,
  NO_CHANGE,
  type OperationUpdate,
  type OperationView,
  type PaymentPatch,
  type PaymentView,
} from "./change";
import { isPaid, openItem, reduceDisputes, reduceRefunds, reportOverRefund } from "./reduce-refunds";

/**
 * The next change that a provider's snapshot of a payment makes, or null when it makes none. The caller commits the change,
 * applies it (`applyChange`) and asks again, until there is none: a change has one event at most, as a commit has.
 */
export function reduce(view: PaymentView, snapshot: Snapshot): Change | null {
  // Of another payment: it says nothing of this one.
  if (view.providerReference !== null && view.providerReference !== snapshot.reference) return null;
  const late = reportLateSuccess(view, snapshot);
  if (late !== null) return late;
  const mismatch = amountMismatch(view, snapshot);
  if (mismatch !== null) return openItem(view, "amount_mismatch", snapshot.reference, mismatch);
  return (
    reducePayment(view, snapshot) ??
    reduceRefunds(view, snapshot) ??
    reduceDisputes(view, snapshot) ??
    reportOverRefund(view)
  );
}

const hasEnded = ({ status }: PaymentView): boolean =>
  status === "failed" || status === "cancelled" || status === "expired";

/**
 * Money that is held for a payment that had ended before the provider was asked: a person has it released. A snapshot that may be older
 * than the payment's end says nothing of that, so that `reduce` does not ask for it.
 */
export function reportLateAuthorization(view: PaymentView, { status, ...snapshot }: Snapshot): Change | null {
  if (!hasEnded(view) || status !== "authorized") return null;
  const detail = FINDINGS.lateAuthorization(amountText(snapshot.amountMinor, snapshot.currency), view.status);
  return openItem(view, "late_success", snapshot.reference, detail);
}

/** Money that came after the payment had ended changes nothing: a person gives it back, or the goods. */
function reportLateSuccess(view: PaymentView, snapshot: Snapshot): Change | null {
  if (!hasEnded(view) || (snapshot.status !== "captured" && snapshot.capturedMinor === 0)) return null;
  const detail = FINDINGS.lateCapture(amountText(snapshot.capturedMinor, snapshot.currency), view.status);
  return openItem(view, "late_success", snapshot.reference, detail);
}

/** What is wrong with the amounts of a snapshot, or null. */
function amountMismatch(view: PaymentView, snapshot: Snapshot): string | null {
  const { amountMinor, currency, capturedMinor, status } = snapshot;
  if (currency !== view.currency || amountMinor !== view.amountMinor) {
    return FINDINGS.otherAmount(amountText(amountMinor, currency), amountText(view.amountMinor, view.currency));
  }
  // Without a capture there is nothing to compare; of a payment that has ended, all of it is late.
  if (status !== "captured" || !(isPaid(view) || canBecome(view, "confirmed"))) return null;
  const expected = expectedCapture(view, snapshot);
  if (expected === null ? capturedMinor > 0 && capturedMinor <= amountMinor : capturedMinor === expected) return null;
  const other = expected === null ? `up to ${amountText(amountMinor, currency)}` : amountText(expected, currency);
  return FINDINGS.otherCapture(amountText(capturedMinor, currency), other);
}

/** What a capture has to be of; null where any part of the payment may have been captured, by somebody else. */
function expectedCapture(view: PaymentView, snapshot: Snapshot): number | null {
  if (isPaid(view)) return view.capturedMinor;
  if (view.captureMethod === "automatic") return view.amountMinor;
  const asked = view.operations.filter(({ kind }) => kind === "capture");
  const nonce = capturedBy(snapshot);
  // Of one that the provider has just given up, as of one that was given up before, nothing is expected.
  const hasFailed = (one: OperationView) =>
    snapshot.captures.some((capture) => capture.nonce === one.nonce && capture.state === "failed");
  const own = asked.find((one) => (nonce === null ? isUnsettled(one.state) && !hasFailed(one) : one.nonce === nonce));
  return own?.amountMinor ?? null;
}

/** The nonce of the capture that has succeeded; null where the provider does not say whose it is. */
const capturedBy = ({ captures }: Snapshot): string | null =>
  captures.find(({ state }) => state === "succeeded")?.nonce ?? null;

/** What a payment can come to. */
type Reached = Exclude<Status, "pending">;

/** What a status at the provider makes of a payment: the first of these that the lifecycle allows. */
const TARGETS: Readonly<Record<ProviderStatus, readonly Reached[]>> = {
  open: [],
  requires_action: ["requires_action"],
  processing: ["processing"],
  authorized: ["authorized"],
  captured: ["confirmed"],
  // An authorisation that failed after all is one that has lapsed.
  failed: ["failed", "expired"],
  // Whoever ended it: nobody here asked for that.
  cancelled: ["expired"],
  expired: ["expired"],
};

/** Whether the provider may bring the payment there: by itself, or since it was asked to. */
export function canBecome(view: PaymentView, status: Status): boolean {
  const { confirm, cancel } = LIFECYCLE[view.status];
  const asked = [confirm, isBeingCancelled(view) ? cancel : undefined];
  const allowed = asked.flatMap((rule) => (rule === undefined || rule === "same" ? [] : rule));
  return [...PROVIDER_MOVES[view.status], ...allowed].includes(status);
}

/** Whether a cancellation was asked for here, and not refused. What the service ends itself, since its time is over, expires. */
const isBeingCancelled = (view: PaymentView): boolean =>
  view.operations.some(
    ({ kind, state, source }) =>
      kind === "cancel" && source === "request" && (isUnsettled(state) || state === "succeeded"),
  );

/** Where the snapshot moves the payment, or null. A paid one is moved by its refunds alone. */
function nextStatus(view: PaymentView, { status }: Snapshot): Reached | null {
  if (isPaid(view)) return null;
  if (status === "cancelled" && isBeingCancelled(view) && canBecome(view, "cancelled")) return "cancelled";
  const target = TARGETS[status].find((one) => canBecome(view, one));
  if (target !== undefined) return target;
  // What ends without an answer of the bank was waiting for its payer; a payment comes to its end from there, whether or not
  // anybody here saw it waiting.
  const isOver = status === "cancelled" || status === "expired";
  return isOver && canBecome(view, "requires_action") ? "requires_action" : null;
}

/** The payment's own change, together with what it makes of the operations that led to it. */
function reducePayment(view: PaymentView, snapshot: Snapshot): Change | null {
  const operations = view.operations.flatMap((operation) => settle(view, operation, snapshot) ?? []);
  const named = view.providerReference === null ? { providerReference: snapshot.reference } : {};
  const status = nextStatus(view, snapshot);
  if (status !== null) {
    const payment: PaymentPatch = {
      ...named,
      status,
      nextAction: status === "requires_action" ? snapshot.nextAction : null,
      ...(status === "confirmed" && { capturedMinor: snapshot.capturedMinor }),
      ...(status === "failed" && { failure: snapshot.failure ?? WITHOUT_A_REASON }),
      ...(status === "expired" && { failure: whyEnded(snapshot) }),
    };
    return { ...NO_CHANGE, payment, operations, event: paymentEvent(status) };
  }
  const { nextAction } = snapshot;
  const stillActs = view.status === "requires_action" && snapshot.status === "requires_action";
  if (stillActs && !isSameAction(nextAction, view.nextAction)) {
    return { ...NO_CHANGE, payment: { ...named, nextAction }, operations, event: paymentEvent("requires_action") };
  }
  if (operations.length === 0 && view.providerReference !== null) return null;
  return { ...NO_CHANGE, payment: named, operations };
}

const paymentEvent = (status: Reached) => ({ type: `payment.${status}` as const, refund: null, dispute: null });

const isSameAction = (a: NextAction | null, b: NextAction | null) => a?.type === b?.type && urlOf(a) === urlOf(b);
const urlOf = (action: NextAction | null) => (action?.type === "redirect" ? action.url : null);

/** Why a payment has expired. */
export const NOT_COMPLETED: Failure = {
  code: "expired",
  decline_code: null,
  message: "The payment was not completed in time",
};

/** Why a payment has ended without being paid: who cancels one may say who that was. */
const whyEnded = ({ status, failure }: Snapshot): Failure => (status === "cancelled" ? failure : null) ?? NOT_COMPLETED;

const WITHOUT_A_REASON: Failure = {
  code: "provider_error",
  decline_code: null,
  message: "The provider says that the payment failed, and not why",
};

type Settled = Pick<OperationUpdate, "state"> & { readonly failure?: Failure };

/** What the snapshot makes of an operation that is not settled, or null. A refund is told by its own entry instead. */
function settle(view: PaymentView, operation: OperationView, snapshot: Snapshot): OperationUpdate | null {
  if (!isUnsettled(operation.state) || operation.kind === "refund") return null;
  const settled = SETTLE[operation.kind](view, operation, snapshot);
  if (settled === null || settled.state === operation.state) return null;
  const { state, failure = null } = settled;
  return { number: operation.number, state, failure, providerReference: snapshot.reference };
}

const failed = (code: Failure["code"], message: string): Settled => {
  return { state: "failed", failure: { code, decline_code: null, message } };
};

const SETTLE = {
  authorize(view: PaymentView, _: OperationView, { status, failure }: Snapshot): Settled | null {
    switch (status) {
      case "open":
        // It has not arrived, or not yet.
        return null;
      case "requires_action":
      case "processing":
        return { state: "pending" };
      case "authorized":
      case "captured":
        return { state: "succeeded" };
      case "failed":
        return { state: "declined", failure: failure ?? WITHOUT_A_REASON };
      case "cancelled":
        return isBeingCancelled(view)
          ? failed("failed_by_request", "The payment was cancelled before it was completed")
          : (failure && { state: "failed", failure }) || failed("expired", "The payment was cancelled at the provider");
      case "expired":
        return failed("expired", "The payment was not completed in time");
    }
  },

  capture(_: PaymentView, { nonce }: OperationView, snapshot: Snapshot): Settled | null {
    const { status, captures } = snapshot;
    const capture = captures.find((one) => one.nonce !== null && one.nonce === nonce);
    if (capture?.state === "failed") {
      return capture.failure
        ? { state: "failed", failure: capture.failure }
        : failed("capture_failed", "The provider could not capture the amount, and does not say why");
    }
    if (status === "cancelled" || status === "expired" || status === "failed") {
      return failed("expired", "The authorisation had ended before it was captured");
    }
    if (capture !== undefined) return { state: capture.state };
    return status === "captured" && capturedBy(snapshot) === null ? { state: "succeeded" } : null;
  },

  cancel(_: PaymentView, __: OperationView, { status }: Snapshot): Settled | null {
    switch (status) {
      case "cancelled":
        return { state: "succeeded" };
      case "captured":
        return failed("processing_error", "The payment was captured before it could be cancelled");
      case "failed":
      case "expired":
        return failed("expired", "The payment had ended before it could be cancelled");
      default:
        return null;
    }
  },
};
