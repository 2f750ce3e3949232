/** Payments and events as everybody outside sees them, in answers and in webhooks alike. Pure. */

import { currencyExponent } from "../money/currency";
import { toMajor } from "../money/money";
import { toWebhookEndpointResponse, type WebhookEndpointResponse, withoutQuery } from "../outbox/endpoint-schemas";
import { eventId } from "../outbox/event-id";
import type { PaymentEventType, WebhookEndpointEventType } from "../outbox/event-types";
import { accountName } from "../provider/accounts/names";
import { type DisputeResponse, toDisputeResponse } from "../provider/dispute";
import type { Failure } from "../provider/failures";
import { type ReconciliationItemResponse, toItemResponse } from "../provider/reconciliation";
import type { CaptureMethod, NextAction } from "../provider/seam";
import type { FeedEvent, PaymentEvent, WebhookEndpointEvent } from "./history";
import type { Status } from "./lifecycle";
import type { Payment } from "./payment";
import { type RefundResponse, toRefundResponse } from "./refund";

/** What the payer does next; the texts of the provider's own script are in the answer of a confirmation alone. */
type NextActionResponse = NextAction & { client_secret?: string; publishable_key?: string };

export interface PaymentResponse {
  id: number;
  order_id: number | null;
  reference: string | null;
  single: boolean;
  amount: number;
  amount_captured: number;
  amount_refunded: number;
  amount_refundable: number;
  currency: string;
  status: Status;
  failure: Failure | null;
  next_action: NextActionResponse | null;
  provider: string;
  provider_account: string | null;
  provider_reference: string | null;
  capture_method: CaptureMethod;
  return_url: string | null;
  description: string | null;
  expires_at: string | null;
  created_at: string;
  updated_at: string;
  metadata: Record<string, string>;
}

/** A payment: amounts in major units, times in RFC 3339. */
export function toPaymentResponse(payment: Payment): PaymentResponse {
  const exponent = currencyExponent(payment.currency);
  if (exponent === undefined) throw new Error(`A payment is stored in the unknown currency ${payment.currency}`);
  const { captured_minor, refunded_minor, held_minor, failure, next_action, expires_at } = payment;
  return {
    id: payment.id,
    order_id: payment.order_id,
    reference: payment.reference,
    single: payment.single === 1,
    amount: toMajor(payment.amount_minor, exponent),
    amount_captured: toMajor(captured_minor, exponent),
    amount_refunded: toMajor(refunded_minor, exponent),
    // More may have gone back at the provider than was captured.
    amount_refundable: toMajor(Math.max(0, captured_minor - refunded_minor - held_minor), exponent),
    currency: payment.currency,
    status: payment.status,
    failure: failure === null ? null : JSON.parse(failure),
    next_action: next_action === null ? null : JSON.parse(next_action),
    provider: payment.provider,
    provider_account:
      payment.provider_account_id === null
        ? null
        : accountName({ provider: payment.provider, id: payment.provider_account_id }),
    provider_reference: payment.provider_reference,
    capture_method: payment.capture_method,
    return_url: payment.return_url,
    description: payment.description,
    expires_at: expires_at === null ? null : new Date(expires_at).toISOString(),
    created_at: new Date(payment.created_at).toISOString(),
    updated_at: new Date(payment.updated_at).toISOString(),
    metadata: JSON.parse(payment.metadata),
  };
}

export interface PaymentEventResponse {
  id: string;
  type: PaymentEventType;
  timestamp: string;
  sequence: number;
  data: PaymentResponse;
  previous: Record<string, unknown>;
  refund: RefundResponse | null;
  dispute: DisputeResponse | null;
  reconciliation_item: ReconciliationItemResponse | null;
  request_id: string;
  key_id: string | null;
  idempotency_key: string | null;
}

export interface WebhookEndpointEventResponse {
  id: string;
  type: WebhookEndpointEventType;
  timestamp: string;
  data: WebhookEndpointResponse;
  request_id: string;
  key_id: string | null;
}

/** Any event of the feed. Its `type` says what it is of. */
export type EventResponse = PaymentEventResponse | WebhookEndpointEventResponse;

/** An event of a payment, with the payment as it was then, and what it changed as that was before. */
export function toPaymentEventResponse(stored: PaymentEvent): PaymentEventResponse {
  const { payment, before, refund, dispute, item, ...event } = stored;
  const data = toPaymentResponse(payment);
  const changed = Object.entries(before ? toPaymentResponse(before) : {}).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(Reflect.get(data, name)),
  );
  return {
    id: eventId({ ...event, merchant_id: payment.merchant_id, payment_id: payment.id }),
    type: event.type,
    timestamp: new Date(event.created_at).toISOString(),
    sequence: event.sequence,
    data,
    previous: Object.fromEntries(changed),
    refund: refund && toRefundResponse(refund),
    dispute: dispute && toDisputeResponse(dispute),
    reconciliation_item: item && toItemResponse(item),
    request_id: event.request_id,
    key_id: event.key_id,
    idempotency_key: event.idempotency_key,
  };
}

/** An event of a webhook endpoint, with the endpoint as it was then: for other eyes than its own, without the URL's query. */
function toWebhookEndpointEventResponse({ endpoint, ...event }: WebhookEndpointEvent): WebhookEndpointEventResponse {
  const { url, all_types } = endpoint;
  return {
    id: eventId({ ...event, payment_id: null, sequence: null }),
    type: event.type,
    timestamp: new Date(event.created_at).toISOString(),
    data: { ...toWebhookEndpointResponse(endpoint, event.created_at), url: withoutQuery(url), all_types },
    request_id: event.request_id,
    key_id: event.key_id,
  };
}

/** An event of the feed, with what it is of as that was then. */
export function toEventResponse(event: FeedEvent): EventResponse {
  return "endpoint" in event ? toWebhookEndpointEventResponse(event) : toPaymentEventResponse(event);
}
