/** A payment's history: its events as they are stored, and what each says of the payment as of then. */
import type { InferSelectModel } from "drizzle-orm";
import type { Database } from "../database";
import type { paymentEvents } from "../db/schema";
import type { Payment } from "./store";

type EventRow = InferSelectModel<typeof paymentEvents>;

/** An event with the payment as it was just after it, and just before. */
export interface PaymentEvent extends Pick<EventRow, "sequence" | "type" | "request_id" | "key_id" | "created_at"> {
  readonly payment: Payment;
  readonly before: Payment | null;
}

const FIND_EVENTS = `
  SELECT payment_events.sequence, payment_events.type, payment_events.data, payment_events.request_id,
    payment_events.key_id, payment_events.created_at
  FROM payment_events JOIN payments ON payments.id = payment_events.payment_id
  WHERE payment_events.payment_id = ? AND payments.merchant_id = ? ORDER BY payment_events.sequence`;

type Found = Pick<EventRow, "sequence" | "type" | "data" | "request_id" | "key_id" | "created_at">;

/** A payment's events, oldest first; none when the merchant has no such payment. One round trip. */
export async function findEvents(db: Database, merchantId: number, id: number): Promise<PaymentEvent[]> {
  return replay(merchantId, id, await db.all<Found>(db.prepare(FIND_EVENTS).bind(id, merchantId)));
}

/** Replays events: the first one's data is the payment, each later one's what it changed. */
function replay(merchantId: number, id: number, events: readonly Found[]): PaymentEvent[] {
  let before: Payment | null = null;
  return events.map(({ data, ...event }) => {
    const { metadata, ...changed } = JSON.parse(data);
    const payment: Payment = {
      ...(before ?? {
        id,
        merchant_id: merchantId,
        created_at: event.created_at,
        metadata: JSON.stringify(metadata ?? {}),
      }),
      ...changed,
      version: event.sequence,
      updated_at: event.created_at,
    };
    const told = { ...event, payment, before };
    before = payment;
    return told;
  });
}
