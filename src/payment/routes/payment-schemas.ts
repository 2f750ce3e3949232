/** What payments look like from outside: the schemas of requests and responses, and their mapping. */
import { z } from "@hono/zod-openapi";
import { inexactText } from "../../http/exact-json";
import { integerParameter, POSITIVE_INTEGER_MESSAGE, PositiveInteger } from "../../http/fields";
import { CURRENCIES, CURRENCY_PATTERN, currencyExponent, MAX_EXPONENT } from "../../money/currency";
import { decimalPlacesMessage, MAX_AMOUNT, POSITIVE_DECIMAL_PATTERN, toMinor } from "../../money/money";
import { FAILURE_CODES } from "../../provider/failures";
import { CAPTURE_METHODS } from "../../provider/seam";
import { STATUSES } from "../lifecycle";
import { jsonBytes, MAX_METADATA_BYTES, MAX_NAME_LENGTH, MAX_PAIRS, MAX_VALUE_LENGTH } from "../metadata";
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

const NextActionSchema = z
  .object({
    type: z.literal("redirect").openapi({ description: "Send the payer's browser to `url`" }),
    url: z.string().openapi({ description: "Where the payer goes on" }),
  })
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
    amount_refundable: z.number().openapi({ description: "What can still be given back" }),
    currency: z
      .string()
      .regex(/^[A-Z]{3}$/)
      .openapi({ description: "The ISO 4217 code" }),
    status: z.enum(STATUSES).openapi({ description: "Where the payment is in its lifecycle" }),
    // As `nullable()`, or with descriptions of their own, they would be several types in generated clients.
    failure: z.union([FailureSchema, z.null()]),
    next_action: z.union([NextActionSchema, z.null()]),
    provider: z.string().openapi({ description: "What moves the money; `internal` settles at once" }),
    provider_reference: z.string().nullable().openapi({ description: "The provider's name for the payment" }),
    capture_method: z
      .enum(CAPTURE_METHODS)
      .openapi({ description: "When the money is taken: at once, or when it is captured" }),
    return_url: z.string().nullable().openapi({ description: "Where the payer's browser returns to" }),
    description: z.string().nullable().openapi({ description: "What is paid for, in words" }),
    expires_at: z.iso.datetime().nullable().openapi({ description: "When the payment ends if nobody completes it" }),
    created_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
    updated_at: z.iso.datetime().openapi({ description: "When the payment last changed; RFC 3339, in UTC" }),
    metadata: z.record(z.string(), z.string()).openapi({ description: "The pairs that the payment was created with" }),
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
  return toMinor(amount, currencyExponent(currency) ?? MAX_EXPONENT);
}

function amountMessage(value: unknown): string {
  if (value === undefined) return "Field required";
  const text = inexactText(value);
  if (text === null) return "Must be a number or a decimal string";
  const tooFine = "Must have no more decimal places than the currency has";
  // What is too small for a double is too fine for every currency, of which there may be none in the body.
  if (Number(text) === 0) return tooFine;
  const read = toMinor(text, MAX_EXPONENT);
  if (!read.ok && read.detail === decimalPlacesMessage(MAX_EXPONENT)) return tooFine;
  return read.ok ? "Must be a decimal number" : read.detail;
}

export const isAmount = (value: unknown) => typeof value === "string" || Number.isFinite(value);

/** What `textFault` lets pass, and names with it, in the document. */
const TEXT_PATTERN = "^[^\\u0000]*$";
const METADATA_NAME_PATTERN = "^[^=\\u0000]*$";

/** What is wrong with a text of metadata, or null. Lengths are in characters, as Unicode counts them. */
function textFault(text: unknown, most: number, least = 0): string | null {
  if (typeof text !== "string") return "Must be a string";
  const length = [...text].length;
  if (length < least || length > most) return `Must be ${least ? `${least} to` : "at most"} ${most} characters long`;
  return text.isWellFormed() && !text.includes("\0") ? null : "Must be Unicode text without NUL";
}

const TOO_MANY_BYTES_MESSAGE = `Must have at most ${MAX_METADATA_BYTES} bytes in all, as JSON in UTF-8`;

/** Apart, because the types of OpenAPI's schemas do not know `propertyNames`, which OpenAPI 3.1 has. */
const METADATA_DOCUMENT = {
  type: "object" as const,
  maxProperties: MAX_PAIRS,
  propertyNames: { type: "string" as const, minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: METADATA_NAME_PATTERN },
  additionalProperties: { type: "string" as const, maxLength: MAX_VALUE_LENGTH, pattern: TEXT_PATTERN },
  description:
    `Pairs of your own, to find the payment by: at most ${MAX_PAIRS}, with names of 1 to ${MAX_NAME_LENGTH} ` +
    `characters other than = and values of at most ${MAX_VALUE_LENGTH}; ${MAX_METADATA_BYTES} bytes in all, as JSON in UTF-8. ` +
    "Both are Unicode text without NUL.",
  example: { cart: "c-7" },
};

/** Pairs of strings. Their order does not matter: they are kept in the order of their names. */
export const Metadata = z
  .unknown()
  .transform((given, context): Readonly<Record<string, string>> => {
    // A pointer is a URI, which can hold no half of a surrogate pair.
    const refuse = (message: string, ...path: string[]) =>
      context.addIssue({ code: "custom", path: path.map((name) => name.toWellFormed()), message });
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      refuse("Must be a JSON object of strings");
      return z.NEVER;
    }
    const pairs = Object.entries(given).sort(([a], [b]) => (a < b ? -1 : 1));
    if (pairs.length > MAX_PAIRS) refuse(`Must have at most ${MAX_PAIRS} pairs`);
    for (const [name, value] of pairs.slice(0, MAX_PAIRS)) {
      const nameFault = textFault(name, MAX_NAME_LENGTH, 1) ?? (name.includes("=") ? "Must not contain =" : null);
      if (nameFault) refuse(`The name: ${nameFault}`, name);
      const fault = textFault(value, MAX_VALUE_LENGTH);
      if (fault) refuse(fault, name);
    }
    const metadata = Object.fromEntries(pairs);
    if (jsonBytes(metadata) > MAX_METADATA_BYTES) refuse(TOO_MANY_BYTES_MESSAGE);
    return metadata;
  })
  .openapi(METADATA_DOCUMENT);

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

/** An amount of a payment whose currency is not known yet: it is held to what holds for every currency. */
export const Amount = AmountUnion.superRefine((amount, context) => {
  const read = toMinor(amount, MAX_EXPONENT);
  if (!read.ok) context.addIssue({ code: "custom", message: read.detail });
});

const MAX_TEXT_LENGTH = 500;

/** A text for people, of 1 to 500 characters. */
export function shortText(description: string) {
  return textOf(MAX_TEXT_LENGTH, description);
}

const MAX_REFERENCE_LENGTH = 255;

/** What is wrong with the name of what is paid for, or null. */
export const referenceFault = (text: unknown): string | null => textFault(text, MAX_REFERENCE_LENGTH, 1);

/** The texts that are such names, in the document. */
export const REFERENCE_DOCUMENT = {
  type: "string" as const,
  minLength: 1,
  maxLength: MAX_REFERENCE_LENGTH,
  pattern: TEXT_PATTERN,
};

/** A text of 1 to so many characters: Unicode without NUL. */
export function textOf(maxLength: number, description: string) {
  return z
    .unknown()
    .transform((given, context): string => {
      const fault = textFault(given, maxLength, 1);
      if (fault === null) return String(given);
      context.addIssue({ code: "custom", message: fault });
      return z.NEVER;
    })
    .openapi({ type: "string", minLength: 1, maxLength, pattern: TEXT_PATTERN, description });
}

/** A name of the caller's own of what is paid for. */
export const Reference = textOf(
  MAX_REFERENCE_LENGTH,
  `Your own name of what is paid for, such as an order's number: 1 to ${MAX_REFERENCE_LENGTH} characters of Unicode text without NUL`,
);

export const PaymentPath = z.object({
  payment_id: integerParameter("payment_id", "path", "The payment's id").openapi({ example: 1 }),
});

/** What the example of a request with a wrong id is answered. */
export const INVALID_ID = {
  validation_failed: { errors: [{ detail: POSITIVE_INTEGER_MESSAGE, parameter: "payment_id" }] },
};
