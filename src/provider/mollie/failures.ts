/** Mollie's words for why something failed, in the service's. Pure. */
import type { Failure, FailureCode } from "../failures";
import type { OperationKind } from "../seam";
import { type MollieError, messageOf } from "./calls";

/** Why a card payment failed (`details.failureReason` of https://docs.mollie.com/reference/get-payment). */
export const MOLLIE_FAILURES: Readonly<Record<string, FailureCode>> = {
  authentication_abandoned: "authentication_failed",
  authentication_failed: "authentication_failed",
  authentication_required: "authentication_failed",
  authentication_unavailable_acs: "authentication_failed",
  card_declined: "card_declined",
  card_expired: "expired_card",
  inactive_card: "card_declined",
  insufficient_funds: "insufficient_funds",
  invalid_card_holder_name: "invalid_payment_method",
  invalid_card_number: "incorrect_number",
  invalid_card_type: "card_not_supported",
  invalid_cvv: "incorrect_cvc",
  possible_fraud: "fraud_suspected",
  refused_by_issuer: "card_declined",
  unknown_reason: "card_declined",
};

/** Why a payment failed, where Mollie says so: of payments that are not by card it does not. */
export function paymentFailure(reason: string | null | undefined, message: string | null | undefined): Failure | null {
  if (!reason) return null;
  const code = Object.hasOwn(MOLLIE_FAILURES, reason) ? MOLLIE_FAILURES[reason] : undefined;
  return {
    code: code ?? "card_declined",
    decline_code: reason,
    message: messageOf({ detail: message || `Mollie says why in a word: ${reason}` }),
  };
}

/** A payment that its payer has ended on Mollie's page. */
export const CANCELLED_BY_PAYER: Failure = {
  code: "cancelled_by_payer",
  decline_code: "canceled",
  message: "The payer cancelled the payment",
};

/** The fields of a payment that name what it is paid with. */
const MEANS_OF_PAYMENT = ["method", "cardToken", "issuer"];

const REFUSALS = {
  authorize: "provider_error",
  capture: "capture_failed",
  cancel: "provider_error",
  refund: "refund_failed",
} as const satisfies Record<OperationKind, FailureCode>;

/** Of a call of this kind that Mollie refused. */
export function refusal(kind: OperationKind, error: MollieError): Failure {
  const isMeans = kind === "authorize" && MEANS_OF_PAYMENT.includes(error.field ?? "");
  const code = isMeans ? "invalid_payment_method" : REFUSALS[kind];
  return { code, decline_code: null, message: messageOf(error) };
}
