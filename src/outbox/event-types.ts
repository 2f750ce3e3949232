/**
 * The types of events, each with what it says: the one table from which the API document, the validators and the types of
 * what is stored come. A payment's status has its type here, which the compiler demands (`eventType` in
 * `payment/lifecycle.ts`); a type need not be a status. The database has no list of them: an endpoint that receives all
 * types is stored as such, so a new one reaches it without a migration.
 */
export const EVENT_TYPES = {
  "payment.created": "A payment is created",
  "payment.confirmed": "A payment is confirmed",
  "payment.failed": "A payment has failed",
  "payment.refunded": "A payment is refunded",
} as const;

export type EventType = keyof typeof EVENT_TYPES;
export const EVENT_TYPE_NAMES = Object.keys(EVENT_TYPES) as [EventType, ...EventType[]];
