/** What happened to payments: events as they are stored, and what each says of its payment as of then. */
import type { InferSelectModel } from "drizzle-orm";
import type { Origin } from "../context";
import type { EndpointSnapshot } from "../outbox/endpoint-events";
import type { EventName } from "../outbox/event-id";
import type { PaymentEventType, WebhookEndpointEventType } from "../outbox/event-types";
import { joinLine } from "../outbox/outbox";
import type { Dispute, StoredDispute } from "../provider/dispute";
import { itemOfEvent, type ReconciliationItem } from "../provider/reconciliation";
import type { Database } from "../storage/database";
import { raw, type Sql, sql } from "../storage/sql";
import { mergeMetadata } from "./metadata";
import { PAYMENT_DEFAULTS, type Payment } from "./payment";
import { type Refund, refundOf } from "./refund";
import type { events } from "./tables";

type EventRow = InferSelectModel<typeof events>;

/** The newest event of a merchant, called `newest`: one row, or none before the first. */
export function newestEvent(merchantId: number): Sql {
  return sql`(SELECT position, created_at FROM events WHERE merchant_id = ${merchantId}
    ORDER BY position DESC LIMIT 1) AS newest`;
}

interface NewEvent {
  readonly type: PaymentEventType | Sql;
  /** What it changes of the payment, as JSON: a text, or SQL on its row as it is after the change. */
  readonly data: string | Sql;
  readonly idempotencyKey: string | null;
  /** What its commit stores, in bytes, about. */
  readonly storedBytes: number;
}

/**
 * The event of a payment's newest version, for a payment chosen by a condition. It adds what its commit stores to what
 * the merchant has stored before.
 */
export function insertEvent(
  condition: Sql,
  { merchantId, requestId, commitId, keyId }: Origin,
  { type, data, idempotencyKey, storedBytes }: NewEvent,
): Sql {
  return sql`
    INSERT INTO events
      (merchant_id, position, payment_id, sequence, type, data, request_id, commit_id, key_id, idempotency_key, created_at,
       stored_bytes)
    SELECT merchant_id, event_positions ->> '$[#-1]', id, version, ${type}, ${data}, ${requestId},
      ${commitId}, ${keyId}, ${idempotencyKey}, updated_at, ${storedBytes} + coalesce((
        SELECT stored_bytes FROM events WHERE merchant_id = ${merchantId} ORDER BY position DESC LIMIT 1), 0)
    FROM payments WHERE ${condition}`;
}

/** What all events have. */
type EventColumns = Pick<EventRow, "position" | "request_id" | "key_id" | "idempotency_key" | "created_at">;

/** An event of a payment, with the payment as it was just after it, and just before. */
export interface PaymentEvent extends EventColumns {
  readonly type: PaymentEventType;
  readonly sequence: number;
  readonly payment: Payment;
  readonly before: Payment | null;
  /** The refund, the dispute or the reconciliation item that it tells of, as it was then; null where it tells of none. */
  readonly refund: Refund | null;
  readonly dispute: Dispute | null;
  readonly item: ReconciliationItem | null;
}

/** An event of a webhook endpoint, with the endpoint as it was just after it. */
export interface WebhookEndpointEvent extends EventColumns {
  readonly merchant_id: number;
  readonly type: WebhookEndpointEventType;
  readonly endpoint: EndpointSnapshot;
}

/** Any event of a merchant's feed. */
export type FeedEvent = PaymentEvent | WebhookEndpointEvent;

/** An event of a payment as it is found: the metadata are those that the payment was created with, with its first event only. */
interface FoundPaymentEvent extends EventColumns {
  readonly type: PaymentEventType;
  readonly payment_id: number;
  readonly sequence: number;
  readonly data: string;
  readonly metadata: string;
}

/** An event of something else as it is found. */
interface FoundWebhookEndpointEvent extends EventColumns {
  readonly type: WebhookEndpointEventType;
  readonly payment_id: null;
  readonly data: string;
}

const EVENT_COLUMNS = raw(`event.position, event.payment_id, event.sequence, event.type, event.data, event.request_id,
    event.key_id, event.idempotency_key, event.created_at, iif(event.sequence = 1, coalesce(payments.original_metadata, payments.metadata), '{}') AS metadata`);

/** Joins the events of `payments`, which are where it says: CROSS JOIN keeps the order of its tables. */
const JOIN_EVENTS = raw(`CROSS JOIN json_each(event_positions) AS place
    CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id AND event.position = place.value`);

/** A payment's events, oldest first; none when the merchant has no such payment. One round trip. */
export async function findEvents(db: Database, merchantId: number, paymentId: number): Promise<PaymentEvent[]> {
  const found = await db.all<FoundPaymentEvent>(sql`
    SELECT ${EVENT_COLUMNS} FROM payments ${JOIN_EVENTS}
    WHERE payments.id = ${paymentId} AND payments.merchant_id = ${merchantId} ORDER BY event.sequence`);
  return replay(merchantId, found);
}

/**
 * Replays a payment's events from its first: that one's data is the payment, with its metadata, each later one's what
 * it changed, of metadata as a merge patch.
 */
function replay(merchantId: number, events: readonly FoundPaymentEvent[]): PaymentEvent[] {
  let before: Payment | null = null;
  const openedAt = new Map<string, number>();
  return events.map(({ data, payment_id, metadata, ...event }) => {
    const { refund: stored, dispute: told, item: found, metadata: pairs, ...changed } = JSON.parse(data);
    const payment: Payment = {
      ...(before ?? {
        ...PAYMENT_DEFAULTS,
        id: payment_id,
        merchant_id: merchantId,
        created_at: event.created_at,
        metadata,
      }),
      ...changed,
      ...(before && pairs && { metadata: JSON.stringify(mergeMetadata(JSON.parse(before.metadata), pairs)) }),
      version: event.sequence,
      updated_at: event.created_at,
    };
    const { sequence: number, created_at } = event;
    const amount_minor = payment.refunded_minor - (before?.refunded_minor ?? 0);
    const { currency } = payment;
    const refund = stored ? refundOf({ payment_id, number, amount_minor, currency, created_at }, stored) : null;
    const dispute = told ? disputeOf(payment, openedAt, told) : null;
    const item = found ? itemOfEvent(payment_id, found) : null;
    const replayed = { ...event, payment, before, refund, dispute, item };
    before = payment;
    return replayed;
  });
}

/** A dispute as an event tells of it; when it was opened, an earlier event has told. */
function disputeOf({ id, currency, updated_at }: Payment, openedAt: Map<string, number>, told: StoredDispute): Dispute {
  const created_at = openedAt.get(told.reference) ?? updated_at;
  openedAt.set(told.reference, created_at);
  return { payment_id: id, currency, created_at, updated_at, ...told };
}

/** An event that `atPositions` found: one of those that were asked for, or an earlier one of its payment. */
export type EventAt = (FoundPaymentEvent | FoundWebhookEndpointEvent) & { readonly chosen: number };

const isOfPayment = (event: EventAt): event is EventAt & FoundPaymentEvent => event.payment_id !== null;

/**
 * The events at some positions, and before each of a payment that one's earlier ones, from which it is replayed.
 *
 * @param positions a query for positions, in a column `position`
 */
export function atPositions(merchantId: number, positions: Sql): Sql {
  return sql`
    SELECT chosen.position AS chosen, ${EVENT_COLUMNS}
    FROM (${positions}) AS chosen
    CROSS JOIN events AS named ON named.merchant_id = ${merchantId} AND named.position = chosen.position
    ${joinLine("named")}
    CROSS JOIN events AS event ON event.merchant_id = named.merchant_id AND event.position = place.value
      AND event.position <= chosen.position
    ORDER BY chosen.position, event.sequence`;
}

/** Replays what `atPositions` found, and keeps the chosen events. */
export function chosenOf(merchantId: number, found: readonly EventAt[]): FeedEvent[] {
  return [...Map.groupBy(found, ({ chosen }) => chosen).values()].flatMap<FeedEvent>((events) => {
    const [first] = events;
    if (first?.payment_id !== null) return replay(merchantId, events.filter(isOfPayment)).slice(-1);
    const { payment_id: _, data, ...event } = first;
    return [{ ...event, merchant_id: merchantId, endpoint: JSON.parse(data) }];
  });
}

/** The event of this name; null when the merchant has none. One round trip. */
export async function findEvent(db: Database, merchantId: number, name: EventName): Promise<FeedEvent | null> {
  if ("paymentId" in name) {
    const events = await findEvents(db, merchantId, name.paymentId);
    return events.find(({ sequence }) => sequence === name.sequence) ?? null;
  }
  const [event] = name.merchantId === merchantId ? await findEventsAt(db, merchantId, [name.position]) : [];
  return event && "endpoint" in event ? event : null;
}

/** The events at some positions of a merchant's feed, in its order. One round trip. */
export async function findEventsAt(
  db: Database,
  merchantId: number,
  positions: readonly number[],
): Promise<FeedEvent[]> {
  const wanted = sql`SELECT value AS position FROM json_each(${JSON.stringify(positions)})`;
  return chosenOf(merchantId, await db.all<EventAt>(atPositions(merchantId, wanted)));
}
