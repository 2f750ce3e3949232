/** What an account at Stripe is made of, and what is taken of a request before it is asked. Pure. */
import type { AccountRules, OperationKind, OperationRequest, RequestFault } from "../seam";

const KEY = /^(?:sk|rk|pk)_(test|live)_[A-Za-z0-9_]{1,250}$/;

/** The names of an account's secrets. */
export const API_KEY = "api_key";
export const WEBHOOK_SECRET = "webhook_secret";

export const stripeAccount: AccountRules = {
  apiOrigin: "https://api.stripe.com",
  secrets: {
    [API_KEY]: {
      description:
        "A secret key, or a restricted one that may write PaymentIntents and refunds and read charges and disputes",
      pattern: /^[sr]k_(?:test|live)_[A-Za-z0-9_]{1,250}$/,
      isRequired: true,
      example: "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    },
    [WEBHOOK_SECRET]: {
      description: "The signing secret of the webhook endpoint at Stripe; several while it is rolled",
      pattern: /^whsec_[A-Za-z0-9+/=_-]{1,250}$/,
      // The endpoint at Stripe is made for the account's own URL: the account is there before its secret is.
      isRequired: false,
      isList: true,
      example: "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z",
    },
  },
  publishableKey: {
    description: "The key that a payer's browser starts Stripe's script with: no secret",
    pattern: /^pk_(?:test|live)_[A-Za-z0-9_]{1,250}$/,
    isRequired: false,
    example: "pk_test_TYooMQauvdEDq54NiTphI7jx",
  },
  modeOf,
};

/** Whether a key, secret or publishable, moves real money; null for a text that is no key of Stripe's. */
export function modeOf(key: string): "test" | "live" | null {
  const [, mode] = KEY.exec(key) ?? [];
  return mode === "test" || mode === "live" ? mode : null;
}

/** The names that Stripe's PaymentMethods have, with those of the older objects that it takes for one. */
const PAYMENT_METHOD = /^(?:pm|card|src|ba)_[A-Za-z0-9_]{1,250}$/;

/** What Stripe would not take of a request. A confirmation without a means of payment is the payer's browser's to make. */
export function requestFault(kind: OperationKind, { paymentMethod }: OperationRequest): RequestFault | null {
  if (kind !== "authorize" || paymentMethod === undefined || PAYMENT_METHOD.test(paymentMethod)) return null;
  return { field: "payment_method", detail: "Must be the id of a PaymentMethod at Stripe, such as pm_card_visa" };
}
