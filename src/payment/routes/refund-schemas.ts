/** What refunds look like from outside. */
import { z } from "@hono/zod-openapi";
import { REFUND_ID_PATTERN, REFUND_STATUSES, type RefundResponse, readRefundId } from "../refund";
import { FailureSchema, PAYMENT_EXAMPLE } from "./payment-schemas";

export const REFUND_EXAMPLE = {
  id: "re_1_3",
  payment_id: PAYMENT_EXAMPLE.id,
  amount: 40,
  currency: "USD",
  status: "succeeded" as const,
  reason: "One of two books came back",
  metadata: { return: "r-12" },
  failure: null,
  created_at: "2026-01-20T09:12:33.020Z",
  updated_at: "2026-01-20T09:12:33.020Z",
};

export const RefundSchema = z
  .object({
    id: z.string().openapi({ description: "Names the refund, and never changes" }),
    payment_id: z.int().openapi({ description: "The payment that it gives back of" }),
    amount: z.number().openapi({ description: "In major units: 40 is 40 dollars" }),
    currency: z.string().openapi({ description: "The ISO 4217 code, which is the payment's" }),
    status: z.enum(REFUND_STATUSES).openapi({
      description:
        "Where the refund is: `pending` while the provider has not decided; `internal` payments are refunded at once",
    }),
    reason: z.string().nullable().openapi({ description: "Why, as whoever asked for it has said" }),
    metadata: z.record(z.string(), z.string()).openapi({ description: "The pairs that it was created with" }),
    // As `nullable()`, or with a description of its own, it would be several types in generated clients.
    failure: z.union([FailureSchema, z.null()]),
    created_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
    updated_at: z.iso.datetime().openapi({ description: "When it last changed; RFC 3339, in UTC" }),
  })
  .openapi("Refund", {
    description: "Money given back of a payment: all of it, or a part",
    example: REFUND_EXAMPLE,
  }) satisfies z.ZodType<RefundResponse>;

export const REFUND_ID_MESSAGE = "Must be a refund's id, such as re_1_3";

export const RefundPath = z.object({
  refund_id: z
    .string()
    .transform((text, context) => {
      const read = readRefundId(text);
      if (read) return read;
      context.addIssue({ code: "custom", message: REFUND_ID_MESSAGE });
      return z.NEVER;
    })
    .openapi({
      param: { name: "refund_id", in: "path" },
      type: "string",
      pattern: REFUND_ID_PATTERN,
      description: "The refund's id",
      example: REFUND_EXAMPLE.id,
    }),
});
