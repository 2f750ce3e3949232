/** The result of an action, read from what its batch returned. Pure. */

import type { ReadAmount } from "../money/money";
import { type Action, outcome, type Status } from "../payment/lifecycle";
import type { Payment } from "../payment/payment";

/** What a batch has found after it. */
export interface Found {
  /** The payment as it is. */
  readonly payment: Payment;
  /** The payment as this request's own event has left it; null where there is no such event. */
  readonly own: Payment | null;
}

/** What the request's idempotency key stood for before the batch; `free` also where the request has none. */
export type KeyBefore = "free" | "same request" | "other request";

/** What was asked of a payment, as far as it decides between refusals. */
export interface Asked {
  readonly action: Action | "update";
  /** The versions that the payment may have been in; null when any would do. */
  readonly expected: readonly number[] | null;
  /** What is to be refunded or captured, as it reads in the payment's currency; null for all that is left. */
  readonly amount: ReadAmount | null;
  /** In milliseconds. */
  readonly now: number;
  /** Whether it is for the service alone to do, whatever the payment's provider. */
  readonly isOurs: boolean;
}

/** Why nothing was changed. A lost attempt of the same request that arrives later would contradict it. */
export type Refusal =
  | { readonly tag: "not_found" }
  | { readonly tag: "refused"; readonly status: Status }
  /** Another payment of the order or reference is paid or on its way, and one of the two is to be the only one. */
  | { readonly tag: "in_the_way"; readonly other: Pick<Payment, "id" | "status"> }
  /** What was asked for is no amount of the payment's currency. */
  | { readonly tag: "invalid_amount"; readonly detail: string }
  /** What the metadata would come to is more than a payment may have. */
  | { readonly tag: "invalid_metadata"; readonly detail: string }
  /** More than is left of the payment. */
  | { readonly tag: "exceeds"; readonly payment: Payment }
  /** The payment's version is none of those that were expected. */
  | { readonly tag: "outdated"; readonly version: number };

/** A provider moves the payment's money: the action is for the protocol. */
export interface Elsewhere {
  readonly tag: "elsewhere";
}

export type Classification =
  | { readonly tag: "changed"; readonly payment: Payment }
  | { readonly tag: "unchanged" | "replayed"; readonly payment: Payment }
  | { readonly tag: "key_reused" }
  | Elsewhere
  | Refusal;

/**
 * The result of an action.
 *
 * @param found null when the merchant has no such payment
 */
export function classify(asked: Asked, keyBefore: KeyBefore, found: Found | null): Classification {
  if (found === null) return keyBefore === "free" ? { tag: "not_found" } : { tag: "key_reused" };
  const { payment, own } = found;
  // The change is this request's own, made now or in an attempt whose answer was lost: as it was then.
  if (own !== null) return { tag: "changed", payment: own };
  if (payment.provider !== "internal" && !asked.isOurs) return { tag: "elsewhere" };
  if (keyBefore === "same request") return { tag: "replayed", payment };
  if (keyBefore === "other request") return { tag: "key_reused" };
  const { action, expected, amount, now } = asked;
  if (expected && !expected.includes(payment.version)) return { tag: "outdated", version: payment.version };
  if (action === "update") return { tag: "unchanged", payment };
  switch (outcome(payment.status, action)) {
    case "unchanged":
      return { tag: "unchanged", payment };
    case "refused":
      return { tag: "refused", status: payment.status };
    case "changed":
      // It was not changed all the same: what is due has ended it, though nothing has recorded that yet, or too much was asked for.
      if (isOverdue(payment, now)) return { tag: "refused", status: "expired" };
      if (amount === null) return { tag: "refused", status: payment.status };
      return amount.ok ? { tag: "exceeds", payment } : { tag: "invalid_amount", detail: amount.detail };
  }
}

/** Whether a payment's time to be confirmed is over. */
function isOverdue({ status, expires_at }: Payment, now: number): boolean {
  return status === "pending" && expires_at !== null && expires_at <= now;
}

/** Whether a result says that nothing was changed, which an attempt that may still arrive would contradict. */
export function isRefusal<Result extends { readonly tag: string }>(
  result: Result,
): result is Extract<Result, { tag: Refusal["tag"] }> {
  return ["not_found", "refused", "in_the_way", "invalid_amount", "invalid_metadata", "exceeds", "outdated"].includes(
    result.tag,
  );
}
