/** Stripe's words for why something failed, in the service's. Pure. */
import type { Failure, FailureCode } from "../failures";
import type { OperationKind } from "../seam";

/**
 * Error codes and the decline codes of issuers (https://docs.stripe.com/error-codes, https://docs.stripe.com/declines/codes). What is not
 * listed is `card_declined` where an issuer has declined, for shops do not tell a thief why.
 */
export const STRIPE_FAILURES: Readonly<Record<string, FailureCode>> = {
  authentication_not_handled: "authentication_failed",
  authentication_required: "authentication_failed",
  mobile_device_authentication_required: "authentication_failed",
  offline_pin_required: "authentication_failed",
  online_or_offline_pin_required: "authentication_failed",
  payment_intent_authentication_failure: "authentication_failed",

  card_not_supported: "card_not_supported",
  currency_not_supported: "card_not_supported",
  invalid_amount: "card_not_supported",
  not_permitted: "card_not_supported",
  service_not_allowed: "card_not_supported",
  transaction_not_allowed: "card_not_supported",

  card_decline_rate_limit_exceeded: "limit_exceeded",
  card_velocity_exceeded: "limit_exceeded",
  charge_exceeds_source_limit: "limit_exceeded",
  charge_exceeds_transaction_limit: "limit_exceeded",
  withdrawal_count_limit_exceeded: "limit_exceeded",

  expired_card: "expired_card",
  invalid_expiry_month: "expired_card",
  invalid_expiry_year: "expired_card",

  incorrect_cvc: "incorrect_cvc",
  invalid_cvc: "incorrect_cvc",

  incorrect_number: "incorrect_number",
  invalid_account: "incorrect_number",
  invalid_number: "incorrect_number",

  fraudulent: "fraud_suspected",
  merchant_blacklist: "fraud_suspected",

  insufficient_funds: "insufficient_funds",

  issuer_not_available: "processing_error",
  payment_method_provider_timeout: "processing_error",
  processing_error: "processing_error",
  reenter_transaction: "processing_error",
  try_again_later: "processing_error",

  payment_method_customer_decline: "cancelled_by_payer",

  expired_payment_method: "invalid_payment_method",
  payment_intent_incompatible_payment_method: "invalid_payment_method",
  payment_method_currency_mismatch: "invalid_payment_method",
  payment_method_invalid_parameter: "invalid_payment_method",
  payment_method_not_available: "invalid_payment_method",
  payment_method_unactivated: "invalid_payment_method",
  payment_method_unexpected_state: "invalid_payment_method",
  payment_method_unsupported_type: "invalid_payment_method",
  resource_missing: "invalid_payment_method",

  payment_intent_payment_attempt_expired: "expired",

  capture_charge_authorization_expired: "capture_failed",
  charge_expired_for_capture: "capture_failed",
};

/** What Stripe says of a failure, in an error or in a payment's last one. */
export interface StripeError {
  readonly type?: string | null | undefined;
  readonly code?: string | null | undefined;
  readonly decline_code?: string | null | undefined;
  readonly message?: string | null | undefined;
}

/** A payment that was declined, or that Stripe refused to make. */
export function paymentFailure(error: StripeError): Failure {
  const { code, decline_code, type } = error;
  const isDeclined = code === "card_declined" || type === "card_error" || Boolean(decline_code);
  return failure(error, wordOf(decline_code) ?? wordOf(code) ?? (isDeclined ? "card_declined" : "provider_error"));
}

/** Of a call of this kind that Stripe refused. */
export function refusal(kind: OperationKind, error: StripeError): Failure {
  switch (kind) {
    case "authorize":
      return paymentFailure(error);
    case "capture":
      return failure(error, "capture_failed");
    case "cancel":
      return failure(error, "provider_error");
    case "refund":
      return failure(error, "refund_failed");
  }
}

/** The provider's own word is the more exact one of its two. */
function failure(error: StripeError, code: FailureCode): Failure {
  return { code, decline_code: error.decline_code ?? error.code ?? null, message: messageOf(error) };
}

const wordOf = (word: string | null | undefined): FailureCode | undefined =>
  typeof word === "string" && Object.hasOwn(STRIPE_FAILURES, word) ? STRIPE_FAILURES[word] : undefined;

/** In UTF-16 code units: what Stripe says of an error is a sentence or two. */
const MAX_MESSAGE_LENGTH = 500;

/** Keys, payers' tokens and client secrets, which messages quote. */
const QUOTED = /\b(?:(?:[srp]k_(?:test|live)|whsec|pm|tok|card|src|ba|btok|ctoken|cus|seti)_|pi_\w+_secret_)[\w*]+/g;

/** What Stripe says of an error, without what is nobody else's to read: messages are kept in events and logs. */
export function messageOf({ message }: StripeError): string {
  const text = message?.trim() || "Stripe does not say why";
  return text.slice(0, MAX_MESSAGE_LENGTH).replace(QUOTED, "…");
}
