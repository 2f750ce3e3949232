/**
 * The types of events, each with what it says: the one table from which the API document, the validators and the types of
 * what is stored come. A payment's status has its type here, which the compiler requires (`eventType` in
 * `payment/lifecycle.ts`); a type need not be a status, and an event need not be of a payment. The database has no list of
 * them: an endpoint that receives all types is stored as such, so a new one reaches it without a migration.
 */

/** Of payments. */
export const PAYMENT_EVENT_TYPES = {
  "payment.created": "A payment is created",
  "payment.requires_action": "The payer has something to do before a payment goes on",
  "payment.processing": "A payment's provider has not decided yet",
  "payment.authorized": "A payment's money is held, and can be captured",
  "payment.confirmed": "A payment is confirmed",
  "payment.failed": "A payment has failed",
  "payment.cancelled": "A payment is cancelled",
  "payment.expired": "A payment was not completed in time",
  "payment.updated": "A payment's description or metadata are changed",
  "payment.refunded": "All of a payment is refunded",
  "refund.created": "A refund is created that is not decided yet",
  "refund.succeeded": "A part of a payment is refunded",
  "refund.failed": "A refund has failed",
  "dispute.opened": "The payer disputes a payment",
  "dispute.closed": "A dispute is decided",
  "reconciliation.item_opened": "The provider says something that a person has to look at",
} as const;

/** Of webhook endpoints. What a request of the merchant's own changes of one is in the trail alone. */
export const WEBHOOK_ENDPOINT_EVENT_TYPES = {
  "webhook_endpoint.disabled": "The service has disabled a webhook endpoint",
} as const;

export const EVENT_TYPES = { ...PAYMENT_EVENT_TYPES, ...WEBHOOK_ENDPOINT_EVENT_TYPES } as const;

export type PaymentEventType = keyof typeof PAYMENT_EVENT_TYPES;
export type WebhookEndpointEventType = keyof typeof WEBHOOK_ENDPOINT_EVENT_TYPES;
export type EventType = keyof typeof EVENT_TYPES;

const namesOf = <Type extends string>(types: Readonly<Record<Type, string>>) => Object.keys(types) as [Type, ...Type[]];
export const PAYMENT_EVENT_TYPE_NAMES = namesOf(PAYMENT_EVENT_TYPES);
export const WEBHOOK_ENDPOINT_EVENT_TYPE_NAMES = namesOf(WEBHOOK_ENDPOINT_EVENT_TYPES);
export const EVENT_TYPE_NAMES = namesOf(EVENT_TYPES);
