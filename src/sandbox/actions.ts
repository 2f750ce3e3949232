/** What is asked of a payment in the sandbox's ledger, by a call or on the hosted page. Pure. */
import {
  behaviourOf,
  type Change,
  change,
  type Effect,
  type Later,
  later,
  laterOf,
  type MakeId,
  type Part,
  type Refund,
  type Refusal,
  refundable,
  type SandboxPayment,
} from "./ledger";
import { DELAY_MS, type Decline, TOKENS, type Token } from "./tokens";

/** How long an authorisation holds, in milliseconds. */
const AUTHORIZATION_MS = 7 * 86_400_000;

export interface Confirmation {
  readonly token: Token;
  readonly nonce: string | null;
  readonly returnUrl: string | null;
}

export function confirm(before: SandboxPayment, { token, nonce, returnUrl }: Confirmation, makeId: MakeId) {
  if (before.status !== "unconfirmed") return wrongState(before, "confirmed");
  const payment: SandboxPayment = { ...before, token, nonce, return_url: returnUrl };
  const { asksPayerForMs, decidesAfterMs } = TOKENS[token];
  if (asksPayerForMs !== undefined) {
    return change({ ...payment, status: "requires_action" }, [], [later("end_action", asksPayerForMs)]);
  }
  if (decidesAfterMs !== undefined) {
    return change({ ...payment, status: "processing" }, [], [later("decide", decidesAfterMs)]);
  }
  return decide(payment, makeId);
}

/** What the payer does on the hosted page. A second press finds nothing to do. */
export function press(before: SandboxPayment, choice: "pay" | "refuse", makeId: MakeId): Change | null {
  if (before.status !== "requires_action") return null;
  return choice === "pay" ? decide(before, makeId) : decline(before, "refused_by_payer");
}

export function capture(
  before: SandboxPayment,
  asked: { readonly amount: number; readonly nonce: string | null },
  makeId: MakeId,
): Change | Refusal {
  if (before.status !== "authorized" || before.captures.some(({ status }) => status !== "failed")) {
    return wrongState(before, "captured");
  }
  if (asked.amount > before.amount) return tooLarge(before.amount);
  return take(before, asked, makeId);
}

export function cancel(before: SandboxPayment, nonce: string | null): Change | Refusal {
  const isCapturing = before.captures.some(({ status }) => status === "pending");
  if (!["unconfirmed", "requires_action", "authorized"].includes(before.status) || isCapturing) {
    return wrongState(before, "cancelled");
  }
  const released: Effect[] = before.status === "authorized" ? [{ kind: "released", amount: before.amount, nonce }] : [];
  return change({ ...before, status: "cancelled" }, released, paidLate(before));
}

export function refund(
  before: SandboxPayment,
  asked: { readonly amount: number; readonly nonce: string | null; readonly reason: string | null },
  makeId: MakeId,
): Change | Refusal {
  if (before.captured === 0) return wrongState(before, "refunded");
  // What is left may be nothing, and so is all of it.
  if (asked.amount <= 0 || asked.amount > refundable(before)) return tooLarge(refundable(before));
  const kind = behaviourOf(before).refunds;
  const status = kind === "pending" ? "pending" : kind === "fails" ? "failed" : "succeeded";
  const id = makeId("sref");
  const made: Refund = { ...asked, id, status, failure: status === "failed" ? "declined" : null };
  return change(
    { ...before, refunds: [...before.refunds, made] },
    status === "succeeded" ? [{ kind: "refunded", amount: asked.amount, nonce: asked.nonce }] : [],
    [
      ...(kind === "pending" ? [laterOf("end_refund", id)] : []),
      ...(kind === "fails_later" ? [laterOf("reverse_refund", id)] : []),
    ],
    "refund",
  );
}

/** The bank's decision. */
export function decide(payment: SandboxPayment, makeId: MakeId): Change {
  const behaviour = behaviourOf(payment);
  if (behaviour.decline !== undefined) return decline(payment, behaviour.decline);
  if (payment.capture === "automatic") {
    if (behaviour.captures === "fails") return decline(payment, "capture_failed");
    return take(payment, payment, makeId);
  }
  return change(
    { ...payment, status: "authorized" },
    [{ kind: "authorized", amount: payment.amount, nonce: payment.nonce }],
    [later("lapse", behaviour.lapsesAfterMs ?? AUTHORIZATION_MS)],
  );
}

function decline(payment: SandboxPayment, failure: Decline): Change {
  return change({ ...payment, status: "declined", failure }, [], []);
}

/** Captures, as far as it goes at once. */
function take(
  before: SandboxPayment,
  { amount, nonce }: { readonly amount: number; readonly nonce: string | null },
  makeId: MakeId,
): Change {
  const kind = behaviourOf(before).captures;
  const id = makeId("scap");
  const made: Part = { id, amount, nonce, status: "succeeded", failure: null };
  if (kind === "fails") {
    const failed: Part = { ...made, status: "failed", failure: "capture_failed" };
    return change({ ...before, captures: [...before.captures, failed] }, [], []);
  }
  if (kind === "async") {
    const captures = [...before.captures, { ...made, status: "pending" as const }];
    const status = before.capture === "automatic" ? "processing" : before.status;
    return change({ ...before, captures, status }, [], [laterOf("end_capture", id)]);
  }
  return captured({ ...before, captures: [...before.captures, made] }, made);
}

/** A capture is done: what is not captured is released. */
export function captured(payment: SandboxPayment, { amount, nonce }: Part): Change {
  const { dispute, isRefundedInDashboard } = behaviourOf(payment);
  const rest = payment.amount - amount;
  return change(
    { ...payment, status: "captured", captured: amount },
    [{ kind: "captured", amount, nonce }, ...(rest > 0 ? [{ kind: "released" as const, amount: rest, nonce }] : [])],
    [
      ...(dispute === undefined ? [] : [later("open_dispute", DELAY_MS)]),
      ...(isRefundedInDashboard ? [later("refund_in_dashboard", DELAY_MS)] : []),
    ],
  );
}

/** What a payer who was asked for too long does, where the token says so. */
export function paidLate(before: SandboxPayment): Later[] {
  const isLate = behaviourOf(before).isPaidAfterItsEnd && before.status === "requires_action";
  return isLate ? [later("pay_late", DELAY_MS)] : [];
}

function wrongState({ status }: SandboxPayment, asked: string): Refusal {
  return { status: 409, code: "wrong_state", message: `A payment that is ${status} cannot be ${asked}` };
}

function tooLarge(most: number): Refusal {
  return { status: 422, code: "amount_too_large", message: `The amount may be ${most} at most` };
}
