/**
 * Amounts as Mollie writes them: decimal text with all of the currency's decimal places. Pure. Works on digits as text.
 *
 * The decimal places are those of ISO 4217: HUF has two, ISK and JPY have none (https://docs.mollie.com/docs/multicurrency). Which of
 * these currencies an account takes depends on its payment methods, and from which amount to which on each of them: Mollie says so.
 */
import { z } from "zod";
import { currencyExponent } from "../../money/currency";

/** An amount with its currency. */
export const AmountSchema = z.object({ currency: z.string(), value: z.string() });
export type MollieAmount = z.output<typeof AmountSchema>;

/** An amount of minor units of a currency that payments are made in. */
export function toMollieAmount(minor: number, currency: string): MollieAmount {
  const exponent = currencyExponent(currency);
  if (exponent === undefined) throw new Error(`A payment is in the unknown currency ${currency}`);
  const digits = String(minor).padStart(exponent + 1, "0");
  const point = digits.length - exponent;
  return { currency, value: exponent === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}` };
}

const DECIMAL = /^(\d{1,15})(?:\.(\d{1,15}))?$/;

/**
 * An amount in minor units; null where it is none of the currency's: negative, finer than the currency is, or more than is counted
 * exactly.
 */
export function fromMollieAmount({ currency, value }: MollieAmount): number | null {
  const exponent = currencyExponent(currency);
  const [, integer, fraction = ""] = DECIMAL.exec(value) ?? [];
  if (exponent === undefined || integer === undefined) return null;
  const finer = fraction.slice(exponent);
  const minor = Number(integer + fraction.slice(0, exponent).padEnd(exponent, "0"));
  return /^0*$/.test(finer) && Number.isSafeInteger(minor) ? minor : null;
}
