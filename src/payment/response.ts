/** Payments and events as everybody outside sees them, in answers and in webhooks alike. Pure. */
import { currencyExponent } from "../money/currency";
import { toMajor } from "../money/money";
import type { EventType } from "../outbox/event-types";
import type { PaymentEvent } from "./history";
import type { Status } from "./lifecycle";
import type { Payment } from "./payment";

export interface PaymentResponse {
  id: number;
  order_id: number;
  amount: number;
  currency: string;
  status: Status;
  provider: string;
  created_at: string;
  updated_at: string;
  metadata: Record<string, string>;
}

/** A payment: the amount in major units, times in RFC 3339. */
export function toPaymentResponse(payment: Payment): PaymentResponse {
  const exponent = currencyExponent(payment.currency);
  if (exponent === undefined) throw new Error(`A payment is stored in the unknown currency ${payment.currency}`);
  return {
    id: payment.id,
    order_id: payment.order_id,
    amount: toMajor(payment.amount_minor, exponent),
    currency: payment.currency,
    status: payment.status,
    provider: payment.provider,
    created_at: new Date(payment.created_at).toISOString(),
    updated_at: new Date(payment.updated_at).toISOString(),
    metadata: JSON.parse(payment.metadata),
  };
}

/** What an event is called: the same everywhere, and for ever. */
export function eventId(paymentId: number, sequence: number): string {
  return `evt_${paymentId}_${sequence}`;
}

/** The payment and the sequence that an event's id names; null when it is none. */
export function readEventId(id: string): { paymentId: number; sequence: number } | null {
  const [paymentId, sequence] = (/^evt_([1-9]\d{0,15})_([1-9]\d{0,15})$/.exec(id) ?? []).slice(1).map(Number);
  // What is beyond the safe integers is rounded, and to none of them: no payment has such an id.
  return paymentId !== undefined && sequence !== undefined ? { paymentId, sequence } : null;
}

export interface EventResponse {
  id: string;
  type: EventType;
  timestamp: string;
  sequence: number;
  data: PaymentResponse;
  previous: Record<string, unknown>;
  request_id: string;
  key_id: string | null;
  idempotency_key: string | null;
}

/** An event, with the payment as it was then, and what it changed as that was before. */
export function toEventResponse({ payment, before, ...event }: PaymentEvent): EventResponse {
  const data = toPaymentResponse(payment);
  const changed = Object.entries(before ? toPaymentResponse(before) : {}).filter(
    ([name, value]) => typeof value !== "object" && value !== Reflect.get(data, name),
  );
  return {
    id: eventId(payment.id, event.sequence),
    type: event.type,
    timestamp: new Date(event.created_at).toISOString(),
    sequence: event.sequence,
    data,
    previous: Object.fromEntries(changed),
    request_id: event.request_id,
    key_id: event.key_id,
    idempotency_key: event.idempotency_key,
  };
}
