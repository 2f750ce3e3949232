/** Why payments and refunds fail: the one table of codes, with what a shop tells its customer. */
export const FAILURES = {
  card_declined: "The card was declined. Use another card, or ask your bank.",
  insufficient_funds: "There is not enough money on the card. Use another card.",
  expired_card: "The card has expired. Use another card.",
  incorrect_cvc: "The security code is wrong. Check it, or use another card.",
  incorrect_number: "The card number is wrong. Check it, or use another card.",
  card_not_supported: "The card cannot be used for this payment. Use another card.",
  limit_exceeded: "The card's limit is exceeded. Use another card, or ask your bank.",
  authentication_failed: "The payment was not confirmed with your bank. Try again.",
  fraud_suspected: "The payment could not be made. Use another means of payment.",
  invalid_payment_method: "The means of payment cannot be used. Choose it again.",
  cancelled_by_payer: "The payment was cancelled.",
  expired: "The payment was not completed in time. Order again.",
  capture_failed: "The payment could not be collected. Use another means of payment.",
  refund_failed: "The refund could not be made. The shop will contact you.",
  processing_error: "The payment could not be processed. Try again later.",
  provider_error: "The payment could not be processed. Try again later.",
  failed_by_request: "The payment was ended by the shop.",
} as const;

export type FailureCode = keyof typeof FAILURES;
export const FAILURE_CODES = Object.keys(FAILURES) as [FailureCode, ...FailureCode[]];

/** Why something failed. */
export interface Failure {
  readonly code: FailureCode;
  /** The provider's own word for it; null where it has none. */
  readonly decline_code: string | null;
  /** For the merchant's developers and support. */
  readonly message: string;
}
