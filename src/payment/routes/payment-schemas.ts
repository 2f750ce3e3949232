/** What payments look like from outside: the schemas of requests and responses, and their mapping. */
import { z } from "@hono/zod-openapi";
import { inexactText } from "../../http/exact-json";
import { integerParameter, POSITIVE_INTEGER_MESSAGE, PositiveInteger } from "../../http/fields";
import { CURRENCIES, CURRENCY_PATTERN, currencyExponent, MAX_EXPONENT } from "../../money/currency";
import { decimalPlacesMessage, MAX_AMOUNT, POSITIVE_DECIMAL_PATTERN, toMinor } from "../../money/money";
import { FAILURE_CODES } from "../../provider/failures";
import { CAPTURE_METHODS } from "../../provider/seam";
import { STATUSES } from "../lifecycle";
import type { Payment } from "../payment";
import type { PaymentResponse } from "../response";
import type { OtherPayment } from "../single";

export const PAYMENT_EXAMPLE = {
  id: 1,
  order_id: 42,
  reference: null,
  single: false,
  amount: 99.99,
  amount_captured: 0,
  amount_refunded: 0,
  amount_refundable: 0,
  currency: "USD",
  status: "pending" as const,
  failure: null,
  next_action: null,
  provider: "internal",
  provider_account: null,
  provider_reference: null,
  capture_method: "automatic" as const,
  return_url: null,
  description: null,
  expires_at: null,
  created_at: "2026-01-16T16:57:41.614Z",
  updated_at: "2026-01-16T16:57:41.614Z",
  metadata: { cart: "c-7" },
};

export const FailureSchema = z
  .object({
    code: z.enum(FAILURE_CODES).openapi({ description: "The same for every provider" }),
    decline_code: z.string().nullable().openapi({ description: "The provider's own word for it" }),
    message: z.string().openapi({ description: "For developers and support" }),
  })
  .openapi("Failure", { description: "Why a payment or a refund has failed" });

const RedirectSchema = z
  .object({
    type: z.literal("redirect").openapi({ description: "Send the payer's browser to `url`" }),
    url: z.string().openapi({ description: "Where the payer goes on" }),
  })
  .openapi("RedirectAction", { description: "The payer goes on at a page of the provider's" });

const ClientSchema = z
  .object({
    type: z.literal("client").openapi({ description: "Start the provider's own script in the payer's browser" }),
    client_secret: z.string().optional().openapi({
      description:
        "What the script is started with, for this payment alone. Only in the answer of a confirmation: another confirmation shows it again",
    }),
    publishable_key: z.string().optional().openapi({
      description: "The account's key for browsers, beside `client_secret`; absent where the account has none",
    }),
  })
  .openapi("ClientAction", { description: "The payer goes on in the provider's own script" });

const NextActionSchema = z
  .union([RedirectSchema, ClientSchema])
  .openapi("NextAction", { description: "What the payer does next" });

export const PaymentSchema = z
  .object({
    id: PositiveInteger.openapi({ description: "The payment's id" }),
    order_id: PositiveInteger.nullable().openapi({
      type: ["integer", "null"],
      description: "The order that is paid for; null where only `reference` names it",
    }),
    reference: z
      .string()
      .nullable()
      .openapi({ description: "Your own name of what is paid for, such as an order's number" }),
    single: z
      .boolean()
      .openapi({ description: "Whether the order or reference may have one live or paid payment only" }),
    amount: z.number().openapi({ description: "In major units: 99.99 is 99 dollars and 99 cents" }),
    amount_captured: z.number().openapi({ description: "What was taken from the payer" }),
    amount_refunded: z.number().openapi({ description: "What was given back of it" }),
    amount_refundable: z.number().openapi({
      description:
        "What can still be given back: without what pending refunds, and disputes that are open or lost, may take",
    }),
    currency: z
      .string()
      .regex(/^[A-Z]{3}$/)
      .openapi({ description: "The ISO 4217 code" }),
    status: z.enum(STATUSES).openapi({ description: "Where the payment is in its lifecycle" }),
    // As `nullable()`, or with descriptions of their own, they would be several types in generated clients.
    failure: z.union([FailureSchema, z.null()]),
    next_action: z.union([NextActionSchema, z.null()]),
    provider: z.string().openapi({ description: "What moves the money; `internal` settles at once" }),
    provider_account: z.string().nullable().openapi({
      description:
        "The merchant's account at the provider, such as `stripe_3`; null where the provider has no accounts",
    }),
    provider_reference: z.string().nullable().openapi({ description: "The provider's name for the payment" }),
    capture_method: z
      .enum(CAPTURE_METHODS)
      .openapi({ description: "When the money is taken: at once, or when it is captured" }),
    return_url: z.string().nullable().openapi({ description: "Where the payer's browser returns to" }),
    description: z.string().nullable().openapi({ description: "What is paid for, in words" }),
    expires_at: z.iso.datetime().nullable().openapi({ description: "When the payment ends if nobody completes it" }),
    created_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
    updated_at: z.iso.datetime().openapi({ description: "When the payment last changed; RFC 3339, in UTC" }),
    metadata: z.record(z.string(), z.string()).openapi({ description: "Pairs of your own, to find the payment by" }),
  })
  .openapi("Payment", {
    description: "An intent to move an amount of one currency for one order",
    example: PAYMENT_EXAMPLE,
  }) satisfies z.ZodType<PaymentResponse>;

/** The version as a strong entity tag: it changes whenever the payment does. */
export function etagOf({ version }: Pick<Payment, "version">): string {
  return `"${version}"`;
}

/** What the problem says that a payment is in another's way. */
export function otherPayment({ id, status }: OtherPayment): { detail: string; payment_id: number } {
  const detail = `Payment ${id} of this order or reference is ${status}, and one of the two is to be the only one`;
  return { detail, payment_id: id };
}

/** An amount in minor units. A wrong currency must not hide a wrong amount: it is then held to what holds for every currency. */
export function readAmount({ amount, currency }: { amount: number | string; currency: string }) {
  const exponent = currencyExponent(currency);
  const read = toMinor(amount, exponent ?? MAX_EXPONENT);
  const isTooFine = !read.ok && read.detail === decimalPlacesMessage(MAX_EXPONENT);
  return exponent === undefined && isTooFine ? { ok: false as const, detail: TOO_FINE_MESSAGE } : read;
}

const TOO_FINE_MESSAGE = "Must have no more decimal places than the currency has";

function amountMessage(value: unknown): string {
  if (value === undefined) return "Field required";
  const text = inexactText(value);
  if (text === null) return "Must be a number or a decimal string";
  // What is too small for a double is too fine for every currency, of which there may be none in the body.
  if (Number(text) === 0) return TOO_FINE_MESSAGE;
  const read = toMinor(text, MAX_EXPONENT);
  if (!read.ok && read.detail === decimalPlacesMessage(MAX_EXPONENT)) return TOO_FINE_MESSAGE;
  return read.ok ? "Must be a decimal number" : read.detail;
}

export const isAmount = (value: unknown) => typeof value === "string" || Number.isFinite(value);

/** A text that must be the code of a currency. */
export function currencyCode(text: z.ZodString) {
  return text
    .refine((code) => /^[A-Za-z]{3}$/.test(code) && currencyExponent(code.toUpperCase()) !== undefined, {
      error: "Must be the ISO 4217 code of a currency in use",
    })
    .toUpperCase()
    .openapi({
      pattern: CURRENCY_PATTERN,
      description: `An ISO 4217 code; lower case is read as upper case. One of ${CURRENCIES.join(", ")}.`,
    });
}

export const AmountUnion = z.union(
  [
    z.number().openapi({ exclusiveMinimum: 0, maximum: Number(MAX_AMOUNT) }),
    z.string().openapi({ pattern: POSITIVE_DECIMAL_PATTERN }),
  ],
  { error: (issue) => amountMessage(issue.input) },
);

/** An amount of a payment whose currency is not known yet: it is held to what holds for every currency, but for its decimal places. */
export const Amount = AmountUnion.superRefine((amount, context) => {
  const read = toMinor(amount, MAX_EXPONENT);
  // How many decimal places there may be is said of the payment's own currency.
  if (!read.ok && read.detail !== decimalPlacesMessage(MAX_EXPONENT))
    context.addIssue({ code: "custom", message: read.detail });
});

export const PaymentPath = z.object({
  payment_id: integerParameter("payment_id", "path", "The payment's id").openapi({ example: 1 }),
});

/** What the example of a request with a wrong id is answered. */
export const INVALID_ID = {
  validation_failed: { errors: [{ detail: POSITIVE_INTEGER_MESSAGE, parameter: "payment_id" }] },
};
