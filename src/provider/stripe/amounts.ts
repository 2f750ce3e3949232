/**
 * Amounts as Stripe writes them: integers of its own minor units. Pure. Works on decimal digits as text.
 * Source: https://docs.stripe.com/currencies ("Zero-decimal currencies", "Three-decimal currencies", "Special cases").
 */
import { currencyExponent } from "../../money/currency";

/**
 * Where Stripe's decimal places are not those of ISO 4217. The króna and the Ugandan shilling have none any more, and are still
 * written with two, which are 00; the ariary, whose fifth parts nobody pays in, is written without any.
 */
const STRIPE_EXPONENTS: Readonly<Record<string, number>> = { ISK: 2, UGX: 2, MGA: 0 };

/** Of a currency with three decimal places Stripe takes amounts whose last one is 0. */
const THREE_DECIMALS = 3;

export type StripeAmount =
  | { readonly tag: "amount"; readonly amount: number }
  /** Stripe cannot express it; why, in a sentence. */
  | { readonly tag: "inexpressible"; readonly detail: string };

/** An amount of minor units of a currency, as Stripe takes it. */
export function toStripeAmount(minor: number, currency: string): StripeAmount {
  const exponent = currencyExponent(currency);
  if (exponent === THREE_DECIMALS && !String(minor).endsWith("0")) {
    return inexpressible(`Stripe takes amounts in ${currency} with two decimal places only`);
  }
  const amount = shift(minor, exponent, STRIPE_EXPONENTS[currency]);
  return amount === null ? inexpressible(`Stripe takes whole amounts in ${currency} only`) : { tag: "amount", amount };
}

/**
 * An amount of Stripe's in minor units of the currency, which is in upper case; null where it is finer than the currency is. Of a
 * currency that is not known here it stays as it is.
 */
export function fromStripeAmount(amount: number, currency: string): number | null {
  const exponent = currencyExponent(currency);
  const stripe = STRIPE_EXPONENTS[currency];
  return stripe === undefined || exponent === undefined ? amount : shift(amount, stripe, exponent);
}

/** Writes an integer of units of `from` decimal places in units of `to`; null where it has a fraction then. */
function shift(units: number, from: number | undefined, to: number | undefined): number | null {
  if (from === undefined || to === undefined || from === to || units === 0) return units;
  if (to > from) return Number(`${units}${"0".repeat(to - from)}`);
  const digits = String(units);
  const [kept, dropped] = [digits.slice(0, to - from), digits.slice(to - from)];
  return kept !== "" && /^0+$/.test(dropped) ? Number(kept) : null;
}

const inexpressible = (detail: string): StripeAmount => ({ tag: "inexpressible", detail });
