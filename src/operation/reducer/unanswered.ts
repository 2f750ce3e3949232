/** What becomes of an operation of which the provider has said nothing that could be reduced. Pure. */
import type { Failure } from "../../provider/failures";
import { type Change, type ChangeEvent, NO_CHANGE, type OperationView, type PaymentView } from "./change";
import { canBecome } from "./reduce";

/**
 * The provider refused the call: nothing was done, and nothing will be by this operation. A refused authorisation ends its
 * payment, a refused refund is told of; after a refused capture or cancellation the payment is what it was.
 */
export function refused(view: PaymentView, operation: OperationView, failure: Failure): Change {
  const { number, kind, providerReference } = operation;
  const operations = [{ number, state: "failed" as const, failure, providerReference }];
  if (kind === "authorize" && canBecome(view, "failed")) {
    const payment = { status: "failed" as const, failure, nextAction: null };
    return { ...NO_CHANGE, payment, operations, event: event("payment.failed") };
  }
  return { ...NO_CHANGE, operations, event: kind === "refund" ? event("refund.failed", number) : null };
}

/**
 * No answer came, so that it may have been done. An authorisation makes its payment `processing`; a refund is told of as one
 * that is not decided. Null where the operation was unknown before.
 */
export function unanswered(view: PaymentView, operation: OperationView): Change | null {
  const { number, kind, state, providerReference } = operation;
  if (state !== "open") return null;
  const operations = [{ number, state: "unknown" as const, failure: null, providerReference }];
  if (kind === "authorize" && canBecome(view, "processing")) {
    const payment = { status: "processing" as const, nextAction: null };
    return { ...NO_CHANGE, payment, operations, event: event("payment.processing") };
  }
  return { ...NO_CHANGE, operations, event: kind === "refund" ? event("refund.created", number) : null };
}

const event = (type: ChangeEvent["type"], refund: number | null = null): ChangeEvent => ({
  type,
  refund,
  dispute: null,
});
