/** A payment as its row has it. */
import type { InferSelectModel } from "drizzle-orm";
import { columnsOf } from "../storage/sql";
import type { payments } from "./tables";

/** The amount in minor units, times in milliseconds. Where its events are is no part of it. */
export type Payment = Omit<InferSelectModel<typeof payments>, "event_positions">;

/** The columns of a payment, for a query. */
export const PAYMENT_COLUMNS = columnsOf<Payment>(
  {
    id: true,
    merchant_id: true,
    order_id: true,
    amount_minor: true,
    currency: true,
    status: true,
    provider: true,
    version: true,
    created_at: true,
    updated_at: true,
    metadata: true,
  },
  "payments",
);
