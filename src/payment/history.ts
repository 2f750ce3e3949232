/** What happened to payments: events as they are stored, and what each says of its payment as of then. */
import type { InferSelectModel } from "drizzle-orm";
import type { Database } from "../storage/database";
import type { Payment } from "./find";
import type { events } from "./tables";

type EventRow = InferSelectModel<typeof events>;

/** The newest event of a merchant: one row, or none before the first. */
export const newestEvent = (merchant: string) =>
  `(SELECT position, created_at FROM events WHERE merchant_id = ${merchant} ORDER BY position DESC LIMIT 1) AS newest`;

/** The event of a payment's newest version, for a payment chosen by a condition. */
export const insertEvent = (condition: string) => `
  INSERT INTO events
    (merchant_id, position, payment_id, sequence, type, data, request_id, commit_id, key_id, idempotency_key, created_at)
  SELECT merchant_id, event_positions ->> '$[#-1]', id, version, ?, ?, ?, ?, ?, ?, updated_at
  FROM payments WHERE ${condition}`;

/** An event's own columns. */
type EventColumns = Omit<EventRow, "merchant_id" | "payment_id" | "data" | "commit_id">;

/** An event with the payment as it was just after it, and just before. */
export interface PaymentEvent extends EventColumns {
  readonly payment: Payment;
  readonly before: Payment | null;
}

export type FoundEvent = EventColumns & Pick<EventRow, "payment_id" | "data">;

const EVENT_COLUMNS = `event.position, event.payment_id, event.sequence, event.type, event.data, event.request_id, event.key_id,
    event.idempotency_key, event.created_at`;

/** Joins the events of `payments`, which are where it says: CROSS JOIN keeps the order of its tables. */
const JOIN_EVENTS = `CROSS JOIN json_each(event_positions) AS place
  CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id AND event.position = place.value`;

const FIND_EVENTS = `
  SELECT ${EVENT_COLUMNS} FROM payments ${JOIN_EVENTS}
  WHERE payments.id = ? AND payments.merchant_id = ? ORDER BY event.sequence`;

/** A payment's events, oldest first; none when the merchant has no such payment. One round trip. */
export async function findEvents(db: Database, merchantId: number, paymentId: number): Promise<PaymentEvent[]> {
  return replay(merchantId, await db.all<FoundEvent>(db.prepare(FIND_EVENTS).bind(paymentId, merchantId)));
}

/** Replays a payment's events from its first: that one's data is the payment, each later one's what it changed. */
function replay(merchantId: number, events: readonly FoundEvent[]): PaymentEvent[] {
  let before: Payment | null = null;
  return events.map(({ data, payment_id, ...event }) => {
    const { metadata, ...changed } = JSON.parse(data);
    const payment: Payment = {
      ...(before ?? {
        id: payment_id,
        merchant_id: merchantId,
        created_at: event.created_at,
        metadata: JSON.stringify(metadata ?? {}),
      }),
      ...changed,
      version: event.sequence,
      updated_at: event.created_at,
    };
    const replayed = { ...event, payment, before };
    before = payment;
    return replayed;
  });
}

/** The events at some positions, and before each its payment's earlier ones, from which it is replayed. */
export const atPositions = (positions: string) => `
  SELECT chosen.position AS chosen, ${EVENT_COLUMNS}
  FROM (${positions}) AS chosen
  CROSS JOIN events AS named ON named.merchant_id = ?1 AND named.position = chosen.position
  CROSS JOIN payments ON payments.id = named.payment_id
  ${JOIN_EVENTS} AND event.position <= chosen.position
  ORDER BY chosen.position, event.sequence`;

/** Replays what `atPositions` found, and keeps the chosen events. */
export function chosenOf(merchantId: number, found: readonly (FoundEvent & { chosen: number })[]): PaymentEvent[] {
  return [...Map.groupBy(found, ({ chosen }) => chosen).values()].flatMap((events) =>
    replay(merchantId, events).slice(-1),
  );
}

/** The events at some positions of a merchant's feed, in its order. One round trip. */
export async function findEventsAt(
  db: Database,
  merchantId: number,
  positions: readonly number[],
): Promise<PaymentEvent[]> {
  const sql = atPositions("SELECT value AS position FROM json_each(?2)");
  return chosenOf(merchantId, await db.all(db.prepare(sql).bind(merchantId, JSON.stringify(positions))));
}
