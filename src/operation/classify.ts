/** The result of an action, read from what its batch returned. Pure. */

import { type Action, LIFECYCLE, outcome, type Status } from "../payment/lifecycle";
import type { Payment } from "../payment/payment";

/** The payment after the batch, and this request's own event, if there is one. */
export interface PaymentAfter extends Payment {
  readonly own_version: number | null;
  readonly own_updated_at: number | null;
}

/** What the request's idempotency key stood for before the batch; `free` also where the request has none. */
export type KeyBefore = "free" | "same request" | "other request";

/** Why nothing was changed. A lost attempt of the same request that arrives later would contradict it. */
export type Refusal =
  | { readonly tag: "not_found" }
  | { readonly tag: "refused"; readonly status: Status }
  /** The payment's version is none of those that were expected. */
  | { readonly tag: "outdated"; readonly version: number };

export type Classification =
  | { readonly tag: "changed"; readonly payment: Payment }
  | { readonly tag: "unchanged" | "replayed"; readonly payment: Payment }
  | { readonly tag: "key_reused" }
  | Refusal;

/**
 * The result of an action.
 *
 * @param expected the versions that the payment may have been in; null when any would do
 * @param after null when the merchant has no such payment
 */
export function classify(
  action: Action,
  expected: readonly number[] | null,
  keyBefore: KeyBefore,
  after: PaymentAfter | null,
): Classification {
  if (after === null) return keyBefore === "free" ? { tag: "not_found" } : { tag: "key_reused" };
  const { own_version, own_updated_at, ...payment } = after;
  // The change is this request's own, made now or in an attempt whose answer was lost: as it was then.
  if (own_version !== null && own_updated_at !== null) {
    const { to } = LIFECYCLE[action];
    return { tag: "changed", payment: { ...payment, status: to, version: own_version, updated_at: own_updated_at } };
  }
  if (keyBefore === "same request") return { tag: "replayed", payment };
  if (keyBefore === "other request") return { tag: "key_reused" };
  if (expected && !expected.includes(payment.version)) return { tag: "outdated", version: payment.version };
  return outcome(payment.status, action) === "unchanged"
    ? { tag: "unchanged", payment }
    : { tag: "refused", status: payment.status };
}

/** Whether a result says that nothing was changed, which an attempt that may still arrive would contradict. */
export function isRefusal<Result extends { readonly tag: string }>(
  result: Result,
): result is Extract<Result, { tag: Refusal["tag"] }> {
  return result.tag === "not_found" || result.tag === "refused" || result.tag === "outdated";
}
