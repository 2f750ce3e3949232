/**
 * Decimal amounts at the edge, integers of minor units inside. Pure. Works on decimal digits as text:
 * no amount is ever multiplied, divided or rounded.
 */
import { currencyExponent } from "./currency";

/** The most that one payment may move, in major units of any currency. */
export const MAX_AMOUNT = "999999999999.99";
const MAX_INTEGER_DIGITS = MAX_AMOUNT.indexOf(".");
const MAX_DIGITS = MAX_AMOUNT.replace(".", "");

const DECIMAL_TEXT = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;
/** The texts that may be amounts, zero among them, as a pattern for documents. */
export const DECIMAL_PATTERN = "^\\d+(\\.\\d+)?([eE][+-]?\\d{1,3})?$";
/** Those that are more than zero. */
export const POSITIVE_DECIMAL_PATTERN = DECIMAL_PATTERN.replace("^", "^(?=[\\d.]*[1-9])");

export type ReadAmount = { ok: true; minor: number } | { ok: false; detail: string };

/**
 * Reads an amount in major units of a currency with `exponent` decimal places, which are 3 at most: with the 12
 * digits of the largest amount they are 15, which a double holds as they are written.
 *
 * @param amount a JSON number, read through its shortest decimal text, or a decimal string
 * @returns the amount in minor units, a positive safe integer, or what is wrong with it. The value
 *   counts, not its spelling: `10`, `10.0`, `1e1` and `"10.00"` are one amount, in JPY too.
 */
export function toMinor(amount: number | string, exponent: number): ReadAmount {
  const match = DECIMAL_TEXT.exec(String(amount));
  if (!match) return refused("Must be a decimal number");
  const [, sign, integer = "", fraction = "", power = "0"] = match;

  // The value is 0.DIGITS times ten to the power of `magnitude`, with no zeros around the digits.
  const all = integer + fraction;
  const significant = all.replace(/^0+/, "");
  const digits = withoutTrailingZeros(significant);
  const magnitude = integer.length - (all.length - significant.length) + Number(power);

  if (sign || digits === "") return refused("Must be greater than zero");
  if (magnitude > MAX_INTEGER_DIGITS || (magnitude === MAX_INTEGER_DIGITS && digits > MAX_DIGITS)) {
    return refused(`Must be at most ${MAX_AMOUNT}`);
  }
  if (digits.length - magnitude > exponent) {
    return refused(decimalPlacesMessage(exponent));
  }
  return { ok: true, minor: Number(digits.padEnd(magnitude + exponent, "0")) };
}

/** What is said of an amount that is finer than a currency is. */
export function decimalPlacesMessage(exponent: number): string {
  return `Must have at most ${exponent} decimal places in this currency`;
}

/**
 * The decimal JSON number for `minor` units of a currency with `exponent` decimal places. What has more than 15 digits, as a sum of
 * many amounts may, is rounded to the nearest double.
 */
export function toMajor(minor: number | bigint, exponent: number): number {
  return Number(`${minor}e-${exponent}`);
}

/** An amount of minor units in words, as `99.99 USD`; of a currency that is not known here, which somebody else has named, too. */
export function amountText(minor: number, currency: string): string {
  const exponent = currencyExponent(currency);
  return exponent === undefined ? `${minor} minor units of ${currency}` : `${toMajor(minor, exponent)} ${currency}`;
}

/** A loop, because engines may take a square of the time for `/0+$/`. */
function withoutTrailingZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === "0") end--;
  return digits.slice(0, end);
}

function refused(detail: string): ReadAmount {
  return { ok: false, detail };
}
