/** Stripe's words for why something failed, in ours. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FAILURE_CODES } from "../../../../src/provider/failures";
import { messageOf, paymentFailure, refusal, STRIPE_FAILURES } from "../../../../src/provider/stripe/failures";

describe("a decline", () => {
  it.each([
    ["insufficient_funds", "insufficient_funds"],
    ["lost_card", "card_declined"],
    ["stolen_card", "card_declined"],
    ["generic_decline", "card_declined"],
    ["do_not_honor", "card_declined"],
    ["fraudulent", "fraud_suspected"],
    ["merchant_blacklist", "fraud_suspected"],
    ["card_velocity_exceeded", "limit_exceeded"],
    ["card_not_supported", "card_not_supported"],
    ["transaction_not_allowed", "card_not_supported"],
    ["authentication_required", "authentication_failed"],
    ["try_again_later", "processing_error"],
    ["a_word_of_tomorrow", "card_declined"],
  ])("for %s is %s, with the provider's word", (decline_code, code) => {
    const error = { type: "card_error", code: "card_declined", decline_code, message: "Your card was declined." };
    expect(paymentFailure(error)).toEqual({ code, decline_code, message: "Your card was declined." });
  });

  it.each([
    ["card_declined", "card_declined"],
    ["expired_card", "expired_card"],
    ["incorrect_cvc", "incorrect_cvc"],
    ["incorrect_number", "incorrect_number"],
    ["processing_error", "processing_error"],
    ["payment_intent_authentication_failure", "authentication_failed"],
    ["payment_method_customer_decline", "cancelled_by_payer"],
    ["payment_intent_payment_attempt_expired", "expired"],
    ["payment_method_unactivated", "invalid_payment_method"],
    ["resource_missing", "invalid_payment_method"],
    ["payment_intent_payment_attempt_failed", "provider_error"],
    ["country_unsupported", "provider_error"],
  ])("with the error %s alone is %s", (word, code) => {
    expect(paymentFailure({ type: "invalid_request_error", code: word })).toMatchObject({ code, decline_code: word });
  });

  it("without a word is one all the same", () => {
    expect(paymentFailure({})).toEqual({
      ...{ code: "provider_error", decline_code: null, message: "Stripe does not say why" },
    });
    expect(paymentFailure({ type: "card_error", message: " " })).toMatchObject({ code: "card_declined" });
    expect(paymentFailure({ code: "toString", decline_code: "constructor" })).toMatchObject({ code: "card_declined" });
  });

  it("is in the table of our codes, whatever Stripe says", () => {
    for (const code of Object.values(STRIPE_FAILURES)) expect(FAILURE_CODES).toContain(code);
    fc.assert(
      fc.property(fc.record({ code: fc.string(), decline_code: fc.string(), type: fc.string() }), (error) => {
        expect(FAILURE_CODES).toContain(paymentFailure(error).code);
      }),
    );
  });
});

describe("a refusal", () => {
  it.each([
    ["authorize", "expired_card"],
    ["capture", "capture_failed"],
    ["cancel", "provider_error"],
    ["refund", "refund_failed"],
  ] as const)("to %s is %s", (kind, code) => {
    const error = { code: "expired_card", message: "why" };
    expect(refusal(kind, error)).toEqual({ code, decline_code: "expired_card", message: "why" });
  });
});

describe("what Stripe says", () => {
  it.each([
    ["No such PaymentMethod: 'pm_1PgafuB7WZ01zgkWXYmPNZs8'; check it", "No such PaymentMethod: '…'; check it"],
    ["Invalid API Key provided: sk_test_********p7dc", "Invalid API Key provided: …"],
    ["Invalid API Key provided: rk_live_51Habc", "Invalid API Key provided: …"],
    ["secret whsec_wRNftLajMZNe", "secret …"],
    ["No such token: tok_visa", "No such token: …"],
    ["the secret pi_3Nirh6_secret_Dm43xiq does not match", "the secret … does not match"],
    ["No such payment_intent: 'pi_3Nirh6'", "No such payment_intent: 'pi_3Nirh6'"],
    ["Your card was declined.", "Your card was declined."],
  ])("is kept without what is nobody else's: %j", (message, kept) => {
    expect(messageOf({ message })).toBe(kept);
  });

  it("is kept in 500 characters", () => {
    expect(messageOf({ message: "a".repeat(10_000) })).toBe("a".repeat(500));
    // What is cut off within a token has no token.
    expect(messageOf({ message: `${"a ".repeat(245)}pm_1PgafuB7WZ01zgkWXYmPNZs8` })).not.toContain("pm_");
  });
});
