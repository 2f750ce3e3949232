/** What is read of Stripe's answers is there in its own types, and the version is the one that they are of. */
import Stripe from "stripe";
import { expect, expectTypeOf, it } from "vitest";
import type { z } from "zod";
import { STRIPE_VERSION } from "../../../../src/provider/stripe/calls";
import type { ChargeSchema, DisputeSchema, IntentSchema, RefundSchema } from "../../../../src/provider/stripe/snapshot";

it("asks for the version that the types are of", () => {
  expect(STRIPE_VERSION).toBe(Stripe.API_VERSION);
});

it("reads what Stripe's types say, by type checks alone", () => {
  expectTypeOf<Stripe.PaymentIntent>().toExtend<z.input<typeof IntentSchema>>();
  expectTypeOf<Stripe.Charge>().toExtend<z.input<typeof ChargeSchema>>();
  expectTypeOf<Stripe.Refund>().toExtend<z.input<typeof RefundSchema>>();
  expectTypeOf<Stripe.Dispute>().toExtend<z.input<typeof DisputeSchema>>();
});
