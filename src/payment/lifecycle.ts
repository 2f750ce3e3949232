/**
 * The lifecycle of a payment. Pure, and the only place that knows the rules: the SQL guard, the API document and the
 * tests are derived from this table.
 */

import type { PaymentEventType } from "../outbox/event-types";

export const STATUSES = ["pending", "confirmed", "failed", "refunded"] as const;
export type Status = (typeof STATUSES)[number];

/** The status every payment is created in. */
export const INITIAL_STATUS = "pending" satisfies Status;

export const ACTIONS = ["confirm", "fail", "refund"] as const;
export type Action = (typeof ACTIONS)[number];

interface Rule {
  /** The statuses the action moves a payment out of. */
  readonly from: readonly Status[];
  /** The status it moves the payment to. */
  readonly to: Status;
  /** Whether asking again, once the payment is in `to`, succeeds and changes nothing. */
  readonly repeatable: boolean;
}

export const LIFECYCLE: Readonly<Record<Action, Rule>> = {
  confirm: { from: ["pending"], to: "confirmed", repeatable: true },
  fail: { from: ["pending"], to: "failed", repeatable: false },
  refund: { from: ["confirmed"], to: "refunded", repeatable: false },
};

export type Outcome = "changed" | "unchanged" | "refused";

/** What `action` does to a payment in `status`. */
export function outcome(status: Status, action: Action): Outcome {
  const rule = LIFECYCLE[action];
  if (rule.from.includes(status)) return "changed";
  return rule.repeatable && rule.to === status ? "unchanged" : "refused";
}

/** The text of a refusal, as clients of the API know it. */
export function refusal(status: Status, action: Action): string {
  return `Cannot ${action} payment in ${status} status`;
}

/** The type of the event that records a payment's arrival in `status`: the table of types must have it. */
export function eventType(status: Status): PaymentEventType {
  return status === INITIAL_STATUS ? "payment.created" : `payment.${status}`;
}
