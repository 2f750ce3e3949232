/** What an account at Mollie is made of, and what is taken of a request before it is asked. Pure. */
import type { AccountMode, AccountRules, OperationKind, OperationRequest, RequestFault } from "../seam";

const KEY = /^(test|live)_[A-Za-z0-9]{20,250}$/;

/** The names of an account's secrets. */
export const API_KEY = "api_key";

export const mollieAccount: AccountRules = {
  apiOrigin: "https://api.mollie.com",
  secrets: {
    [API_KEY]: {
      description: "An API key of the website profile that payments are made for",
      pattern: KEY,
      isRequired: true,
      example: "test_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM",
    },
  },
  publishableKey: null,
  modeOf,
};

/** Whether a key moves real money; null for a text that is no API key of Mollie's. */
export function modeOf(key: string): AccountMode | null {
  const [, mode] = KEY.exec(key) ?? [];
  return mode === "test" || mode === "live" ? mode : null;
}

/** A card that the payer has entered in Mollie's script. It serves for one payment, and for an hour. */
export const CARD_TOKEN = /^tkn_[A-Za-z0-9]{1,250}$/;
/** Mollie's names for ways to pay. There are new ones each year: whether there is such a one, Mollie says. */
const METHOD = /^[a-z][a-z0-9]{1,31}$/;

/** What Mollie would not take of a request. Without a means of payment, the payer chooses one on Mollie's page. */
export function requestFault(kind: OperationKind, request: OperationRequest): RequestFault | null {
  if (kind !== "authorize") return null;
  const { paymentMethod, returnUrl } = request;
  const isMeant = paymentMethod === undefined || CARD_TOKEN.test(paymentMethod) || METHOD.test(paymentMethod);
  if (!isMeant) {
    return {
      field: "payment_method",
      detail: "Must be a payment method of Mollie's, such as ideal, or a card token (tkn_…), or left out",
    };
  }
  if (returnUrl !== undefined) return null;
  return { field: "return_url", detail: "Must be given: Mollie sends the payer back to it" };
}
