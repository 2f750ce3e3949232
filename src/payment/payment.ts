/** A payment as its row has it. */
import type { InferSelectModel } from "drizzle-orm";
import { columnsOf } from "../storage/sql";
import type { payments } from "./tables";

/**
 * Amounts in minor units, times in milliseconds; `failure`, `next_action` and `metadata` as JSON. Where its events are, when its
 * expiry is looked at, the sealed means of payment and the metadata that it was created with are no part of it.
 */
export type Payment = Omit<
  InferSelectModel<typeof payments>,
  "event_positions" | "expiry_due_at" | "payment_method" | "original_metadata"
>;

/** The columns of a payment, for a query. */
export const PAYMENT_COLUMNS = columnsOf<Payment>(
  {
    id: true,
    merchant_id: true,
    order_id: true,
    reference: true,
    single: true,
    amount_minor: true,
    captured_minor: true,
    refunded_minor: true,
    held_minor: true,
    currency: true,
    status: true,
    failure: true,
    next_action: true,
    provider: true,
    provider_account_id: true,
    provider_reference: true,
    capture_method: true,
    return_url: true,
    description: true,
    expires_at: true,
    version: true,
    created_at: true,
    updated_at: true,
    metadata: true,
  },
  "payments",
);

/** What a payment has that was made of nothing but an order, an amount and a currency: its first event leaves this out. */
export const PAYMENT_DEFAULTS = {
  order_id: null,
  reference: null,
  single: 0,
  captured_minor: 0,
  refunded_minor: 0,
  held_minor: 0,
  failure: null,
  next_action: null,
  provider_account_id: null,
  provider_reference: null,
  capture_method: "automatic",
  return_url: null,
  description: null,
  expires_at: null,
} as const satisfies Partial<Payment>;
