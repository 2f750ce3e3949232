/** Amounts as Mollie writes them, and what an account at Mollie is made of. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CURRENCIES, currencyExponent } from "../../../../src/money/currency";
import { fromMollieAmount, toMollieAmount } from "../../../../src/provider/mollie/amounts";
import { mollie } from "../../../../src/provider/mollie/mollie";
import { API_KEY } from "./mollie-answers";

describe("an amount", () => {
  it.each([
    ["EUR", 1, "0.01"],
    ["EUR", 10, "0.10"],
    ["EUR", 100, "1.00"],
    ["EUR", 123_456, "1234.56"],
    ["HUF", 12_345, "123.45"],
    ["JPY", 1, "1"],
    ["JPY", 1_000, "1000"],
    ["ISK", 500, "500"],
    ["KWD", 1, "0.001"],
    ["KWD", 12_340, "12.340"],
    ["EUR", 99_999_999_999_999, "999999999999.99"],
  ])("of %s %i minor units is written %s", (currency, minor, value) => {
    expect(toMollieAmount(minor, currency)).toEqual({ currency, value });
    expect(fromMollieAmount({ currency, value })).toBe(minor);
  });

  it.each([
    ["EUR", "0.00", 0],
    ["EUR", "0", 0],
    ["EUR", "10", 1_000],
    ["EUR", "10.5", 1_050],
    ["EUR", "10.500", 1_050],
    ["JPY", "500.00", 500],
    ["EUR", "007.00", 700],
  ])("of %s may be written %s", (currency, value, minor) => {
    expect(fromMollieAmount({ currency, value })).toBe(minor);
  });

  it.each([
    ["EUR", "10.005"],
    ["JPY", "0.5"],
    ["EUR", "-1.00"],
    ["EUR", "+1.00"],
    ["EUR", ""],
    ["EUR", ".50"],
    ["EUR", "1."],
    ["EUR", "1,00"],
    ["EUR", " 1.00"],
    ["EUR", "1.00 "],
    ["EUR", "1e2"],
    ["EUR", "0x10"],
    ["EUR", "٣.00"],
    ["EUR", "NaN"],
    ["EUR", "1.00\n"],
    ["EUR", "100000000000000.00"],
    ["EUR", "1000000000000000"],
    ["eur", "1.00"],
    ["XXX", "1.00"],
    ["", "1.00"],
    ["constructor", "1.00"],
  ])("of %s is none where it is written %j", (currency, value) => {
    expect(fromMollieAmount({ currency, value })).toBeNull();
  });

  it("is read as it was written, whatever the currency", () => {
    const currency = fc.constantFrom(...CURRENCIES);
    fc.assert(
      fc.property(currency, fc.integer({ min: 0, max: 99_999_999_999_999 }), (code, minor) => {
        const written = toMollieAmount(minor, code);
        const [, fraction = ""] = written.value.split(".");
        expect(fraction).toHaveLength(currencyExponent(code) ?? Number.NaN);
        expect(written.value).toMatch(/^(?:0|[1-9]\d*)(?:\.\d+)?$/);
        expect(fromMollieAmount(written)).toBe(minor);
      }),
    );
  });

  it("is none of a currency that no payment is made in", () => {
    expect(() => toMollieAmount(1, "XXX")).toThrow("XXX");
  });
});

describe("an account", () => {
  const { account } = mollie;

  it("has an API key and nothing else, at Mollie's own address", () => {
    expect(account).toMatchObject({ apiOrigin: "https://api.mollie.com", publishableKey: null });
    expect(Object.entries(account.secrets).map(([name, { isRequired, isList }]) => [name, isRequired, isList])).toEqual(
      [["api_key", true, undefined]],
    );
    expect(account.secrets.api_key?.pattern.test(account.secrets.api_key.example)).toBe(true);
  });

  it.each([
    [API_KEY, "test"],
    ["live_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM", "live"],
    ["access_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM", null],
    ["sk_test_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM", null],
    ["test_dHar4XY7LxsDOtmnkVt", null],
    ["test_", null],
    ["", null],
    [`${API_KEY}\n`, null],
    [`x${API_KEY}`, null],
    ["test_dHar4XY7LxsDOtmnkVtjNVWXLSlX-M", null],
    [`test_${"a".repeat(251)}`, null],
  ])("has a key like %j of mode %s", (key, mode) => {
    expect(account.modeOf(key)).toBe(mode);
    expect(account.secrets.api_key?.pattern.test(key)).toBe(mode !== null);
  });
});

describe("a request for a confirmation", () => {
  const returnUrl = "https://shop.example/";
  const check = (request: object) => mollie.check?.("authorize", { returnUrl, ...request });

  it.each([undefined, "ideal", "paybybank", "in3", "przelewy24", "tkn_AbC123", "tkn_UqAvArS3gw"])(
    "may name %s",
    (paymentMethod) => {
      expect(check(paymentMethod === undefined ? {} : { paymentMethod })).toBeNull();
    },
  );

  it.each([
    "",
    "tkn_",
    "tkn_a b",
    "pm_card_visa",
    "iDEAL",
    "test_ok",
    "ideal,paypal",
    "ideal ",
    "3",
    "i",
    "a".repeat(33),
  ])("may not name %j", (paymentMethod) => {
    expect(check({ paymentMethod })).toMatchObject({
      field: "payment_method",
      detail: expect.stringContaining("ideal"),
    });
  });

  it("must say where the payer returns to, whatever it is paid with", () => {
    for (const request of [{}, { paymentMethod: "ideal" }, { paymentMethod: "tkn_AbC123" }]) {
      expect(mollie.check?.("authorize", request)).toMatchObject({ field: "return_url" });
    }
    // What is wrong is said first; what is missing, the payment's creation may have named.
    expect(mollie.check?.("authorize", { paymentMethod: "pm_card_visa" })).toMatchObject({ field: "payment_method" });
  });

  it.each(["capture", "cancel", "refund"] as const)("has nothing to do with one for a %s", (kind) => {
    expect(mollie.check?.(kind, { paymentMethod: "pm_card_visa", reason: "damaged" })).toBeNull();
  });
});
