/** What disputes and reconciliation items look like from outside. */
import { z } from "@hono/zod-openapi";
import type { DisputeResponse } from "../../provider/dispute";
import {
  ITEM_STATES,
  RECONCILIATION,
  RECONCILIATION_KINDS,
  type ReconciliationItemResponse,
} from "../../provider/reconciliation";
import { DISPUTE_STATES } from "../../provider/seam";
import { PAYMENT_EXAMPLE } from "./payment-schemas";

export const DisputeSchema = z
  .object({
    payment_id: z.int().openapi({ description: "The payment that is disputed" }),
    reference: z.string().openapi({ description: "The provider's name for the dispute" }),
    amount: z.number().openapi({ description: "In major units" }),
    currency: z.string().openapi({ description: "The ISO 4217 code" }),
    state: z.enum(DISPUTE_STATES).openapi({
      description: "An `inquiry` holds no money back yet, `open` does; `lost` took it, `won` gave it back",
    }),
    reason: z.string().nullable().openapi({ description: "The payer's, in the provider's words" }),
    due_at: z.iso.datetime().nullable().openapi({ description: "Until when evidence is taken" }),
    created_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
    updated_at: z.iso.datetime().openapi({ description: "RFC 3339, in UTC" }),
  })
  .openapi("Dispute", {
    description: "A payer's objection to a payment",
    example: {
      payment_id: PAYMENT_EXAMPLE.id,
      reference: "sdis_5e9f",
      amount: 99.99,
      currency: "USD",
      state: "open",
      reason: "not_received",
      due_at: "2026-01-27T09:12:33.020Z",
      created_at: "2026-01-20T09:12:33.020Z",
      updated_at: "2026-01-20T09:12:33.020Z",
    },
  }) satisfies z.ZodType<DisputeResponse>;

/** The kinds with what they mean, in the API document. */
const KINDS_IN_WORDS = Object.entries(RECONCILIATION)
  .map(([kind, { means }]) => `\n- \`${kind}\`: ${means}`)
  .join("");

export const ReconciliationItemSchema = z
  .object({
    id: z.int().openapi({ description: "Names the item" }),
    payment_id: z.int().nullable().openapi({ description: "The payment; null where none is known" }),
    account: z
      .string()
      .nullable()
      .openapi({ description: "The account at the provider, such as `stripe_3`; null where the provider has none" }),
    kind: z.enum(RECONCILIATION_KINDS).openapi({ description: `What differs:\n${KINDS_IN_WORDS}` }),
    reference: z.string().openapi({ description: "The provider's name for what it is about" }),
    detail: z.string().openapi({ description: "What was found, with amounts in major units" }),
    state: z.enum(ITEM_STATES).openapi({ description: "Whether a person has still to look at it" }),
    created_at: z.iso.datetime().openapi({ description: "When it was first found; RFC 3339, in UTC" }),
    resolved_at: z.iso.datetime().nullable().openapi({ description: "When it was resolved; null while it is open" }),
    resolved_by: z
      .string()
      .nullable()
      .openapi({ description: "The public id of the key that resolved it; null while it is open, and in open mode" }),
    resolution: z.string().nullable().openapi({ description: "Why it is resolved; null while it is open" }),
  })
  .openapi("ReconciliationItem", {
    description: "What a provider says otherwise than the service, for a person to look at",
    example: {
      id: 1,
      payment_id: PAYMENT_EXAMPLE.id,
      account: "stripe_3",
      kind: "late_success",
      reference: "pi_3MtwBwLkdIwHu7ix28a3tqPa",
      detail: "The provider captured 99.99 USD of a payment that is expired",
      state: "open",
      created_at: "2026-01-20T09:12:33.020Z",
      resolved_at: null,
      resolved_by: null,
      resolution: null,
    },
  }) satisfies z.ZodType<ReconciliationItemResponse>;
