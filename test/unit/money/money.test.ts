import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CURRENCIES,
  CURRENCY_PATTERN,
  currenciesWith,
  currencyExponent,
  DEFAULT_CURRENCY,
  MAX_EXPONENT,
} from "../../../src/money/currency";
import { amountText, DECIMAL_PATTERN, POSITIVE_DECIMAL_PATTERN, toMajor, toMinor } from "../../../src/money/money";

const minor = (amount: number | string, exponent = 2) => {
  const read = toMinor(amount, exponent);
  return read.ok ? read.minor : read.detail;
};

describe("currencies", () => {
  it("are the 155 of list one that people pay in", () => {
    expect(CURRENCIES).toHaveLength(155);
    expect(CURRENCIES).toContain(DEFAULT_CURRENCY);
    expect(MAX_EXPONENT).toBe(3);
    expect(CURRENCIES.toSorted()).toEqual(CURRENCIES);
  });

  it("are told apart by their decimal places", () => {
    expect(currenciesWith(0)).toEqual([
      "BIF",
      "CLP",
      "DJF",
      "GNF",
      "ISK",
      "JPY",
      "KMF",
      "KRW",
      "PYG",
      "RWF",
      "UGX",
      "VND",
      "VUV",
      "XAF",
      "XOF",
      "XPF",
    ]);
    expect(currenciesWith(3)).toEqual(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]);
    expect(currenciesWith(2)).toHaveLength(155 - 16 - 7);
    expect(currenciesWith(2)).toEqual(expect.arrayContaining(["AED", "EUR", "USD", "ZWG"]));
    expect(currenciesWith(1)).toEqual([]);
  });

  it.each([
    ["JPY", 0],
    ["ISK", 0],
    ["UGX", 0],
    ["XAF", 0],
    ["CLP", 0],
    ["USD", 2],
    ["HUF", 2],
    ["IDR", 2],
    ["MGA", 2],
    ["MRU", 2],
    ["ZWG", 2],
    ["XCG", 2],
    ["KWD", 3],
    ["BHD", 3],
    ["IQD", 3],
  ])("%s has %i decimal places", (code, exponent) => {
    expect(currencyExponent(code)).toBe(exponent);
  });

  it.each("XAU XAG XPT XPD XBA XBB XBC XBD XDR XSU XUA XAD XTS XXX BOV CHE CHW CLF COU MXV USN UYI UYW".split(" "))(
    "%s is not one: a metal, a fund, a unit of account, a test or nothing",
    (code) => {
      expect(currencyExponent(code)).toBeUndefined();
    },
  );

  it.each(["HRK", "BGN", "SLL", "ZWL", "ANG", "CUC", "usd", "", "toString", "__proto__"])("%s is not one", (code) => {
    expect(currencyExponent(code)).toBeUndefined();
  });
});

describe("the patterns of the API document", () => {
  const currency = new RegExp(CURRENCY_PATTERN, "u");
  it.each(["USD", "usd", "Usd", "uSD", "JPY", "kwd", "EUR", "ZWG"])("a currency may be %s", (code) => {
    expect(currency.test(code)).toBe(true);
  });
  it.each(["", "XXX", "US", "USDD", "EURUSD", "xUSD", "USD ", "US|", "undefined", "[Uu]"])("and not %j", (code) => {
    expect(currency.test(code)).toBe(false);
  });

  const positive = new RegExp(POSITIVE_DECIMAL_PATTERN, "u");
  it.each(["1", "0.01", "99.99", "10", "1e1", "0.10", "00.5"])("an amount may be %j", (text) => {
    expect([positive.test(text), new RegExp(DECIMAL_PATTERN, "u").test(text)]).toEqual([true, true]);
  });
  it.each(["0", "0.00", "0e5", "-1", "", ".5", "1.", "x1", "1 ", "^1", "1e"])("and not %j", (text) => {
    expect(positive.test(text)).toBe(false);
  });
  it.each(["0", "0.00", "0e5"])("a bound of amounts may be %j", (text) => {
    expect(new RegExp(DECIMAL_PATTERN, "u").test(text)).toBe(true);
  });
});

describe("toMinor", () => {
  it("counts decimal places, whatever the digits and zeros in front", () => {
    expect(minor("123456789012.345", 3)).toBe(123_456_789_012_345);
    expect(minor("0000123456789012.345", 3)).toBe(123_456_789_012_345);
    expect(minor("123456789012.3451", 3)).toBe("Must have at most 3 decimal places in this currency");
    expect(minor("9.99999999999999")).toBe("Must have at most 2 decimal places in this currency");
    expect(minor("9.999999999999999")).toBe("Must have at most 2 decimal places in this currency");
  });

  it("has a pattern, for documents, of what it reads", () => {
    const pattern = new RegExp(DECIMAL_PATTERN);
    for (const text of ["1", "10", "0.5", "99.99", "1e1", "1E+1", "1.5e-10", "1e123"]) {
      expect(text).toMatch(pattern);
      expect(minor(text), text).not.toBe("Must be a decimal number");
    }
    for (const text of ["", ".5", "1.", "1,5", "1 ", " 1", "+1", "1e", "1e1234", "0x1", "NaN", "1e1.5", "1.2.3"]) {
      expect(text).not.toMatch(pattern);
      expect(minor(text), text).toBe("Must be a decimal number");
    }
  });

  it.each([
    10,
    10.0,
    1e1,
    "10",
    "10.0",
    "10.00",
    "1e1",
    "1E+1",
    "0010",
    "0.1e2",
    "100e-1",
    "10.0000000000000000000",
    "00000000000000000010",
  ])("reads %s as ten, in every currency", (amount) => {
    expect([minor(amount, 0), minor(amount, 2), minor(amount, 3)]).toEqual([10, 1000, 10_000]);
  });

  it.each([
    [99.99, 2, 9999],
    ["99.99", 2, 9999],
    [0.01, 2, 1],
    [1.005, 3, 1005],
    [0.001, 3, 1],
    [1e-3, 3, 1],
    [1, 0, 1],
    [8.41, 2, 841], // 8.41 * 100 is 841.0000000000001
    [1.15, 2, 115], // 1.15 * 100 is 114.99999999999999
    [4.35, 2, 435],
    [999_999_999_999.99, 2, 99_999_999_999_999],
    ["999999999999.99", 3, 999_999_999_999_990],
    [999_999_999_999, 0, 999_999_999_999],
  ])("reads %s with %i decimal places as %i", (amount, exponent, expected) => {
    expect(minor(amount, exponent)).toBe(expected);
  });

  it.each([
    [1.5, 0],
    ["0.1", 0],
    [0.001, 2],
    ["99.999", 2],
    [1e-7, 2],
    ["1e-400", 3],
    [0.0001, 3],
  ])("refuses %s as finer than %i decimal places", (amount, exponent) => {
    expect(minor(amount, exponent)).toBe(`Must have at most ${exponent} decimal places in this currency`);
  });

  it.each([0, -0, -1, -0.01, "0", "-0", "0.00", "-5", "0e5"])("refuses %s as not positive", (amount) => {
    expect(minor(amount)).toBe("Must be greater than zero");
  });

  it.each([1e12, 1_000_000_000_000, "999999999999.991", 1e300, "1e999", Number.MAX_SAFE_INTEGER, "9".repeat(60_000)])(
    "refuses %.40s as too large",
    (amount) => {
      expect(minor(amount, 3)).toBe("Must be at most 999999999999.99");
    },
  );

  it.each([0.1 + 0.2, "1.000000000000001", "123456789012.3456"])("refuses %s as too many decimal places", (amount) => {
    expect(minor(amount)).toBe("Must have at most 2 decimal places in this currency");
  });

  it.each([
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    "",
    " ",
    " 1",
    "1 ",
    "abc",
    "1,000",
    "1_000",
    "0x10",
    ".5",
    "5.",
    "+5",
    "1e",
    "1e9999",
    "١",
    "$5",
    "1.2.3",
    "Infinity",
  ])("refuses %j as no decimal number", (amount) => {
    expect(minor(amount)).toBe("Must be a decimal number");
  });

  it("gives back every amount that it shows, as a number and as text", () => {
    const amount = fc.tuple(fc.constantFrom(0, 2, 3), fc.integer({ min: 1, max: 99_999_999_999_999 }));
    fc.assert(
      fc.property(amount, ([exponent, units]) => {
        fc.pre(units <= 999_999_999_999 * 10 ** exponent);
        const major = toMajor(units, exponent);
        expect(minor(major, exponent)).toBe(units);
        expect(minor(major.toFixed(exponent), exponent)).toBe(units);
        expect(minor(major.toExponential(), exponent)).toBe(units);
        expect(JSON.parse(JSON.stringify(major))).toBe(major);
      }),
      { numRuns: 5_000 },
    );
  });
});

it.each([
  [9999, "USD", "99.99 USD"],
  [5, "EUR", "0.05 EUR"],
  [9999, "JPY", "9999 JPY"],
  [9999, "KWD", "9.999 KWD"],
  // As a provider may name one.
  [9999, "XXX", "9999 minor units of XXX"],
  [9999, "usd", "9999 minor units of usd"],
])("%i minor units of %s are, in words, %s", (amount, currency, text) => {
  expect(amountText(amount, currency)).toBe(text);
});
