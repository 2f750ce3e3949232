/** What events are called outside. Pure. */

/** What an event's id is made of; those that are of no payment have neither of the last two. */
export interface NamedEvent {
  readonly merchant_id: number;
  readonly position: number;
  readonly payment_id: number | null;
  readonly sequence: number | null;
}

/** The event that an id names: one of a payment, or one at a position of a merchant's feed that is of no payment. */
export type EventName =
  | { readonly paymentId: number; readonly sequence: number }
  | { readonly merchantId: number; readonly position: number };

/**
 * What an event is called: the same everywhere, for ever, and nothing else is called so. `evt_<payment>_<sequence>`, and
 * `evt_m<merchant>_<position>` where it is of no payment.
 */
export function eventId({ merchant_id, position, payment_id, sequence }: NamedEvent): string {
  return payment_id === null ? `evt_m${merchant_id}_${position}` : `evt_${payment_id}_${sequence}`;
}

/** The texts that are ids, in the document. */
export const EVENT_ID_PATTERN = "^evt_m?[1-9][0-9]{0,15}_[1-9][0-9]{0,15}$";
const EVENT_ID = /^evt_(m?)([1-9]\d{0,15})_([1-9]\d{0,15})$/;

/** The event that an id names; null when it is none. */
export function readEventId(id: string): EventName | null {
  const [, kind, ...numbers] = EVENT_ID.exec(id) ?? [];
  // What is beyond the safe integers is rounded, and to none of them: nothing has such an id.
  const [first, second] = numbers.map(Number);
  if (first === undefined || second === undefined) return null;
  return kind === "m" ? { merchantId: first, position: second } : { paymentId: first, sequence: second };
}
