/** What an account at Stripe is made of. */
import { describe, expect, it } from "vitest";
import { stripe } from "../../../../src/provider/stripe/stripe";

const { secrets, publishableKey, modeOf, apiOrigin } = stripe.account;

describe("the secrets of an account", () => {
  it("are a key and what notifications are signed with, in the order in which a person sets them", () => {
    expect(Object.keys(secrets)).toEqual(["api_key", "webhook_secret"]);
    expect([secrets.api_key?.isRequired, secrets.webhook_secret?.isRequired]).toEqual([true, false]);
    expect([secrets.api_key?.isList, secrets.webhook_secret?.isList]).toEqual([undefined, true]);
    expect(apiOrigin).toBe("https://api.stripe.com");
  });

  it.each([
    ["api_key", "sk_test_4eC39HqLyjWDarjtT1zdp7dc", true],
    ["api_key", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", true],
    ["api_key", "rk_test_51Abc_def", true],
    ["api_key", "rk_live_51Abc", true],
    ["api_key", "pk_test_4eC39HqLyjWDarjtT1zdp7dc", false],
    ["api_key", "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z", false],
    ["api_key", "sk_4eC39HqLyjWDarjtT1zdp7dc", false],
    ["api_key", "sk_test_", false],
    ["api_key", " sk_test_4eC39", false],
    ["api_key", "sk_test_4eC39\n", false],
    ["api_key", "sk_test_4eC39\r\nX: y", false],
    ["api_key", `sk_test_${"a".repeat(251)}`, false],
    ["webhook_secret", "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z", true],
    ["webhook_secret", "wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z", false],
    ["webhook_secret", "whsec_a,whsec_b", false],
    ["webhook_secret", "sk_test_4eC39HqLyjWDarjtT1zdp7dc", false],
  ])("%s may be %j: %s", (name, text, isTaken) => {
    expect(secrets[name]?.pattern.test(text)).toBe(isTaken);
  });

  it("take their own examples", () => {
    for (const rule of [...Object.values(secrets), publishableKey]) expect(rule?.pattern.test(rule.example)).toBe(true);
  });

  it.each([
    ["pk_test_TYooMQauvdEDq54NiTphI7jx", true],
    ["pk_live_TYooMQauvdEDq54NiTphI7jx", true],
    ["sk_test_TYooMQauvdEDq54NiTphI7jx", false],
    ["pk_TYooMQauvdEDq54NiTphI7jx", false],
  ])("are apart from the key that a browser has: %j", (text, isTaken) => {
    expect(publishableKey?.pattern.test(text)).toBe(isTaken);
    expect(publishableKey?.isRequired).toBe(false);
  });
});

describe("the mode of a key", () => {
  it.each([
    ["sk_test_1", "test"],
    ["rk_test_1", "test"],
    ["pk_test_1", "test"],
    ["sk_live_1", "live"],
    ["rk_live_1", "live"],
    ["pk_live_1", "live"],
    ["sk_prod_1", null],
    ["xx_test_1", null],
    ["sk_test_live_1", "test"],
    ["test", null],
    ["", null],
  ])("%j says %s", (key, mode) => expect(modeOf(key)).toBe(mode));
});

describe("a request", () => {
  it.each([
    ["pm_card_visa", null],
    ["pm_1PgafuB7WZ01zgkWXYmPNZs8", null],
    ["card_1PgaftB7WZ01zgkWm3waTcFp", null],
    ["src_1", null],
    [undefined, null],
    ["tok_visa", "payment_method"],
    ["test_ok", "payment_method"],
    ["4242424242424242", "payment_method"],
    ["pm_", "payment_method"],
    ["pm_1&amount=1", "payment_method"],
    ["", "payment_method"],
  ])("with the means of payment %j is told what is wrong with it: %s", (paymentMethod, field) => {
    const request = paymentMethod === undefined ? {} : { paymentMethod };
    expect(stripe.check?.("authorize", request)?.field ?? null).toBe(field);
    expect(stripe.check?.("refund", request)).toBeNull();
  });
});
