/**
 * The lifecycle of a payment. Pure, and the only place that knows the rules: the SQL guards, the API document, the reducer of
 * what providers say and the tests are derived from these two tables.
 */

import type { PaymentEventType } from "../outbox/event-types";

export const STATUSES = [
  "pending",
  "requires_action",
  "processing",
  "authorized",
  "confirmed",
  "failed",
  "cancelled",
  "expired",
  "refunded",
] as const;
export type Status = (typeof STATUSES)[number];

/** The status every payment is created in. */
export const INITIAL_STATUS = "pending" satisfies Status;

export const ACTIONS = ["confirm", "capture", "cancel", "fail", "refund"] as const;
export type Action = (typeof ACTIONS)[number];

/**
 * The statuses that an action may lead to, the one of a provider that settles at once first; `same` where asking
 * again succeeds and changes nothing.
 */
type Rule = readonly [Status, ...Status[]] | "same";

/** What may be asked of a payment in each status; everything else is refused. */
export const LIFECYCLE: Readonly<Record<Status, Readonly<Partial<Record<Action, Rule>>>>> = {
  pending: {
    confirm: ["confirmed", "authorized", "requires_action", "processing", "failed"],
    cancel: ["cancelled"],
    fail: ["failed"],
  },
  requires_action: { confirm: "same", cancel: ["cancelled"] },
  processing: { confirm: "same" },
  authorized: { confirm: "same", capture: ["confirmed"], cancel: ["cancelled"] },
  // A refund of a part leaves the status as it is.
  confirmed: { confirm: "same", refund: ["refunded", "confirmed"] },
  failed: {},
  cancelled: {},
  expired: {},
  refunded: {},
};

/** Where a provider, or the clock, may move a payment that nobody asks anything of. */
export const PROVIDER_MOVES: Readonly<Record<Status, readonly Status[]>> = {
  pending: ["expired"],
  requires_action: ["processing", "authorized", "confirmed", "failed", "expired"],
  processing: ["requires_action", "authorized", "confirmed", "failed", "cancelled"],
  authorized: ["confirmed", "expired"],
  confirmed: [],
  failed: [],
  cancelled: [],
  expired: [],
  // When a refund fails later.
  refunded: ["confirmed"],
};

/** The statuses in which a payment expires when its time is over. */
export const EXPIRING = STATUSES.filter(
  (status) => PROVIDER_MOVES[status].includes("expired") && status !== "authorized",
);

/** The statuses that no action and no provider leads out of: whatever comes later is a matter for reconciliation. */
export const isFinal = (status: Status): boolean =>
  Object.keys(LIFECYCLE[status]).length === 0 && PROVIDER_MOVES[status].length === 0;

/** The statuses of a payment that may still be paid, or is: `single` allows one in them. */
export const LIVE_OR_PAID = STATUSES.filter((status) => Object.keys(LIFECYCLE[status]).length > 0);

/** The statuses that an action moves a payment out of. */
export const statusesBefore = (action: Action): Status[] =>
  STATUSES.filter((status) => outcome(status, action) === "changed");

/** The statuses in which an action succeeds and changes nothing. */
export const statusesRepeating = (action: Action): Status[] =>
  STATUSES.filter((status) => LIFECYCLE[status][action] === "same");

/** Where an action leads when it is done at once, and whole. */
export function statusAfter(action: Action): Status {
  const rules = STATUSES.map((status) => LIFECYCLE[status][action]);
  const [to] = rules.find((rule) => typeof rule === "object") ?? [];
  if (to === undefined) throw new Error(`The lifecycle has no use of ${action}`);
  return to;
}

/** Every step that a payment may make: from a status, to a status; also those that change something and not the status. */
export const STEPS: readonly (readonly [from: Status, to: Status])[] = STATUSES.flatMap((from) => {
  const asked = Object.values(LIFECYCLE[from]).flatMap((rule) => (rule === "same" ? [] : rule));
  return [...new Set([...asked, ...PROVIDER_MOVES[from]])].map((to) => [from, to] as const);
});

/** The statuses in which the means of payment may still be asked for money. In all others it has served. */
export const MAY_AUTHORIZE = STEPS.filter(([, to]) => to === "authorized").map(([from]) => from);

export type Outcome = "changed" | "unchanged" | "refused";

/** What `action` does to a payment in `status`. */
export function outcome(status: Status, action: Action): Outcome {
  const rule = LIFECYCLE[status][action];
  if (rule === undefined) return "refused";
  return rule === "same" ? "unchanged" : "changed";
}

/** The text of a refusal, as clients of the API know it. */
export function refusal(status: Status, action: Action | "update"): string {
  return `Cannot ${action} payment in ${status} status`;
}

/** The type of the event that records a payment's arrival in `status`: the table of types must have it. */
export function eventType(status: Status): PaymentEventType {
  return status === INITIAL_STATUS ? "payment.created" : `payment.${status}`;
}
