/** What the sandbox takes for a payer's means of payment: tokens, each of which decides what comes of the payment. */
import type { OperationKind, OperationRequest, RequestFault } from "./seam";

export const SANDBOX_TOKENS = [
  "test_ok",
  "test_declined",
  "test_insufficient_funds",
  "test_expired_card",
  "test_wrong_cvc",
  "test_fraud",
  "test_processing_error",
  "test_action_ok",
  "test_action_failed",
  "test_action_abandoned",
  "test_delayed_ok",
  "test_delayed_failed",
  "test_lost_answer",
  "test_lost_request",
  "test_timeout",
  "test_late_arrival",
  "test_500_then_ok",
  "test_429",
  "test_not_found_at_first",
  "test_key_forgotten",
  "test_no_query",
  "test_notified_twice",
  "test_notified_reordered",
  "test_notified_before_answer",
  "test_notified_never",
  "test_notified_bad_signature",
  "test_capture_fails",
  "test_capture_async",
  "test_authorization_lapses",
  "test_refund_pending",
  "test_refund_fails",
  "test_refund_fails_later",
  "test_dispute_lost",
  "test_dispute_won",
  "test_dispute_inquiry",
  "test_paid_after_expiry",
  "test_refunded_in_dashboard",
] as const;

export type SandboxToken = (typeof SANDBOX_TOKENS)[number];

export const isSandboxToken = (text: string): text is SandboxToken => SANDBOX_TOKENS.some((token) => token === text);

/** What the sandbox would not take of a request: a confirmation has one of the tokens. */
export function requestFault(kind: OperationKind, { paymentMethod }: OperationRequest): RequestFault | null {
  if (kind !== "authorize") return null;
  if (paymentMethod === undefined) {
    return { field: "payment_method", detail: "Field required, unless the creation has named it" };
  }
  if (isSandboxToken(paymentMethod)) return null;
  const detail = "Must be a token of the sandbox, such as test_ok: docs/sandbox.md lists them";
  return { field: "payment_method", detail };
}
