/** Amounts as Stripe writes them, from https://docs.stripe.com/currencies. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CURRENCIES, currencyExponent } from "../../../../src/money/currency";
import { fromStripeAmount, toStripeAmount } from "../../../../src/provider/stripe/amounts";

/** Stripe's own list of currencies without decimal places, without those that it writes with two all the same. */
const ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split(" ");
const THREE_DECIMAL = "BHD JOD KWD OMR TND".split(" ");

/** The amount of so many major units, as Stripe writes it. */
const majorAtStripe = (units: number, currency: string) =>
  ZERO_DECIMAL.includes(currency) ? units : units * (THREE_DECIMAL.includes(currency) ? 1_000 : 100);

describe("an amount", () => {
  it.each([
    ["EUR", 10_999, 10_999],
    ["USD", 1, 1],
    ["HUF", 1_045, 1_045],
    ["TWD", 80_045, 80_045],
    ["JPY", 500, 500],
    ["ISK", 5, 500],
    ["UGX", 5, 500],
    ["MGA", 500, 5],
    ["KWD", 5_120, 5_120],
    ["USD", 99_999_999_999_999, 99_999_999_999_999],
    ["UGX", 999_999_999_999, 99_999_999_999_900],
  ])("of %s %i is %i at Stripe, and back", (currency, minor, amount) => {
    expect(toStripeAmount(minor, currency)).toEqual({ tag: "amount", amount });
    expect(fromStripeAmount(amount, currency)).toBe(minor);
  });

  it.each([
    ["KWD", 5_124, "Stripe takes amounts in KWD with two decimal places only"],
    ["BHD", 1, "Stripe takes amounts in BHD with two decimal places only"],
    ["MGA", 150, "Stripe takes whole amounts in MGA only"],
    ["MGA", 1, "Stripe takes whole amounts in MGA only"],
    ["MGA", 99, "Stripe takes whole amounts in MGA only"],
  ])("of %s %i cannot be written there, and is not rounded", (currency, minor, detail) => {
    expect(toStripeAmount(minor, currency)).toEqual({ tag: "inexpressible", detail });
  });

  it.each([
    ["ISK", 550],
    ["UGX", 1],
    ["UGX", 50],
  ])("of Stripe's that is finer than %s is none: %i", (currency, amount) => {
    expect(fromStripeAmount(amount, currency)).toBeNull();
  });

  it("of nothing is nothing, and of an unknown currency what it is", () => {
    for (const currency of CURRENCIES) expect(fromStripeAmount(0, currency)).toBe(0);
    expect(fromStripeAmount(1_234, "ABC")).toBe(1_234);
  });

  it("of whole major units is what Stripe's own rules say, in every currency that it has", () => {
    // It has no others with three decimal places, and takes nothing in them.
    const has = CURRENCIES.filter((currency) => currency !== "IQD" && currency !== "LYD");
    for (const currency of has) {
      const minor = 7 * 10 ** (currencyExponent(currency) ?? 0);
      expect(toStripeAmount(minor, currency), currency).toEqual({ tag: "amount", amount: majorAtStripe(7, currency) });
    }
  });

  it("comes back as it was, or was not sent", () =>
    fc.assert(
      fc.property(fc.constantFrom(...CURRENCIES), fc.integer({ min: 1, max: 999_999_999_999 }), (currency, minor) => {
        const written = toStripeAmount(minor, currency);
        if (written.tag === "amount") expect(fromStripeAmount(written.amount, currency)).toBe(minor);
        else
          expect([currencyExponent(currency), currency]).toSatisfy(([places, code]) => places === 3 || code === "MGA");
      }),
    ));
});
