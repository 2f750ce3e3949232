/** What a delivery can be, with what that means. */
export const DELIVERY_STATES = {
  waiting: "an earlier event of the same payment goes first",
  pending: "it is sent at `next_attempt_at`",
  succeeded: "the endpoint has taken it",
  exhausted: "every attempt has failed",
  cancelled: "the endpoint was disabled or deleted first, or no longer receives the type",
} as const;

export type DeliveryState = keyof typeof DELIVERY_STATES;
export const DELIVERY_STATE_NAMES = Object.keys(DELIVERY_STATES) as [DeliveryState, ...DeliveryState[]];
