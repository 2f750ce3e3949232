/**
 * What the service must be like, as simple as can be, and written down once for all who judge it: the model, the checker of
 * histories and the checker of kills. Pure. The lifecycle is not the code's, for that is what is checked.
 */
import {
  type Change,
  intentOf,
  isChange,
  moneyOf,
  type Operation,
  type Outcome,
  type Shown,
  type ShownRefund,
} from "./history.ts";

/** The statuses that a payment which settles at once comes into. */
export const STATUSES = ["pending", "confirmed", "failed", "cancelled", "refunded"] as const;
export type Status = (typeof STATUSES)[number];
export type Action = "confirm" | "capture" | "cancel" | "fail" | "refund";

/** The lifecycle of such a payment, as the design has it; nothing is ever captured by itself. */
export const STEPS: Readonly<Record<Action, { from: Status | null; to: Status; repeatable: boolean }>> = {
  confirm: { from: "pending", to: "confirmed", repeatable: true },
  capture: { from: null, to: "confirmed", repeatable: false },
  cancel: { from: "pending", to: "cancelled", repeatable: false },
  fail: { from: "pending", to: "failed", repeatable: false },
  refund: { from: "confirmed", to: "refunded", repeatable: false },
};

/** What `action` does to a payment in `status`. */
export function effect(status: Status, action: Action): { tag: "change" | "repeat"; to: Status } | { tag: "refusal" } {
  const { from, to, repeatable } = STEPS[action];
  if (status === from) return { tag: "change", to };
  return repeatable && status === to ? { tag: "repeat", to } : { tag: "refusal" };
}

/** Whether a payment that was in `earlier` can be in `now`. */
export function canBe(earlier: Status, now: Status): boolean {
  return earlier === now || Object.values(STEPS).some(({ from, to }) => from === earlier && canBe(to, now));
}

/** What the database holds in the end for each key: it names the payment that an unheard creation made. */
export type KeyHolders = ReadonlyMap<string, number>;

/** A payment with what was given back of it, newest first. */
export interface Held extends Shown {
  readonly refunds: readonly ShownRefund[];
}

export interface State {
  readonly payments: ReadonlyMap<number, Held>;
  /** What each key that was used up was used for; of a refund, its number. */
  readonly keys: ReadonlyMap<string, { intent: string; paymentId: number; refund: number | null }>;
}

export const EMPTY: State = { payments: new Map(), keys: new Map() };

/** What the model answers; impossible is what it never says, so that no answer that was given agrees. */
export type Answer = Exclude<Outcome, { tag: "unknown" }> | { tag: "impossible" };

/**
 * What the service must answer to an operation in a state, and the state that it leaves.
 *
 * @param holders the payment that each creation makes, by its key: known from the database where the order of
 *   creations is not
 */
export function step(state: State, operation: Operation, holders: KeyHolders): { answer: Answer; next: State } {
  const unchanged = (tag: Exclude<Answer["tag"], "ok" | "refund" | "refunds">) => ({ answer: { tag }, next: state });
  const ok = (status: 200 | 201, replayed: boolean, paymentId: number, { refunds: _, ...shown }: Held): Answer => {
    return { tag: "ok", status, replayed, paymentId, ...shown };
  };
  // A key that was used counts before anything else, If-Match included.
  const used = isChange(operation) && operation.key !== null ? state.keys.get(operation.key) : undefined;
  if (used && isChange(operation)) {
    const shown = state.payments.get(used.paymentId);
    if (used.intent !== intentOf(operation)) return unchanged("key_reused");
    if (!shown) throw new Error("The model's keys name its payments");
    if (operation.kind !== "refund") return { answer: ok(200, true, used.paymentId, shown), next: state };
    const refund = shown.refunds.find(({ number }) => number === used.refund);
    if (!refund) throw new Error("The model's keys name its refunds");
    return {
      answer: { tag: "refund", status: 200, replayed: true, paymentId: used.paymentId, ...refund },
      next: state,
    };
  }
  if (operation.kind === "create") {
    const paymentId = holders.get(operation.key);
    // A key that the database does not hold in the end never made a payment.
    if (paymentId === undefined || state.payments.has(paymentId)) return unchanged("impossible");
    const { orderId, cart } = operation;
    const made: Held = { payment: "pending", version: 1, orderId, cart, captured: 0, refunded: 0, refunds: [] };
    return {
      answer: ok(201, false, paymentId, made),
      next: withKey(set(state, paymentId, made), operation, paymentId),
    };
  }
  const { paymentId } = operation;
  const shown = state.payments.get(paymentId);
  if (!shown) return unchanged("not_found");
  if (operation.kind === "get") return { answer: ok(200, false, paymentId, shown), next: state };
  if (operation.kind === "refunds")
    return { answer: { tag: "refunds", paymentId, refunds: shown.refunds }, next: state };
  if (operation.expected !== null && operation.expected !== shown.version) return unchanged("outdated");
  if (operation.kind === "refund") {
    if (shown.payment !== "confirmed") return unchanged("refused");
    const amount = refundAmount(operation.amount, shown);
    if (amount === null) return unchanged("invalid");
    if (shown.refunded + amount > shown.captured) return unchanged("exceeds");
    const changed = refundedBy(shown, amount);
    const refund = { number: changed.version, amount };
    return {
      answer: { tag: "refund", status: 201, replayed: false, paymentId, ...refund },
      next: withKey(set(state, paymentId, changed), operation, paymentId, refund.number),
    };
  }
  const done = effect(shown.payment, operation.action);
  if (done.tag === "change") {
    const changed =
      operation.action === "refund"
        ? refundedBy(shown, shown.captured - shown.refunded)
        : { ...shown, payment: done.to, version: shown.version + 1, captured: capturedBy(operation.action, shown) };
    return {
      answer: ok(200, false, paymentId, changed),
      next: withKey(set(state, paymentId, changed), operation, paymentId),
    };
  }
  if (done.tag === "repeat") {
    return { answer: ok(200, false, paymentId, shown), next: withKey(state, operation, paymentId) };
  }
  return unchanged("refused");
}

/** What a payment that settles at once has captured after an action. */
function capturedBy(action: Action, { captured, orderId }: Held): number {
  return action === "confirm" ? moneyOf(orderId).minor : captured;
}

/** The payment after a refund; when all is given back, it is refunded. */
function refundedBy(shown: Held, amount: number): Held {
  const [version, refunded] = [shown.version + 1, shown.refunded + amount];
  const payment = refunded === shown.captured ? "refunded" : shown.payment;
  return { ...shown, version, refunded, payment, refunds: [{ number: version, amount }, ...shown.refunds] };
}

/** What is asked for, in minor units; null where it is finer than the payment's currency, and without it all that is left. */
function refundAmount(text: string | null, { orderId, captured, refunded }: Held): number | null {
  if (text === null) return captured - refunded;
  const decimals = moneyOf(orderId).currency === "USD" ? 2 : 0;
  const [integer = "", fraction = ""] = text.split(".");
  if (/[1-9]/.test(fraction.slice(decimals))) return null;
  return Number(integer + fraction.slice(0, decimals).padEnd(decimals, "0"));
}

function set(state: State, paymentId: number, shown: Held): State {
  return { ...state, payments: new Map(state.payments).set(paymentId, shown) };
}

function withKey(state: State, operation: Change, paymentId: number, refund: number | null = null): State {
  if (operation.key === null) return state;
  return { ...state, keys: new Map(state.keys).set(operation.key, { intent: intentOf(operation), paymentId, refund }) };
}
