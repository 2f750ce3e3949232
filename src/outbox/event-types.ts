/**
 * The types of events, each with what it says: the one table from which the API document, the validators and the types of
 * what is stored come. A payment's status has its type here, which the compiler requires (`eventType` in
 * `payment/lifecycle.ts`); a type need not be a status, and an event need not be of a payment. The database has no list of
 * them: an endpoint that receives all types is stored as such, so a new one reaches it without a migration.
 */

/** Of payments. */
export const PAYMENT_EVENT_TYPES = {
  "payment.created": "A payment is created",
  "payment.confirmed": "A payment is confirmed",
  "payment.failed": "A payment has failed",
  "payment.refunded": "A payment is refunded",
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
