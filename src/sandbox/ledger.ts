/**
 * A payment in the sandbox's ledger, and what changes of it: what it has become, the money that moved, what will happen
 * later. Pure. Amounts in minor units.
 */
import { type Behaviour, DELAY_MS, type Decline, TOKENS, type Token } from "./tokens";

export type Status =
  | "unconfirmed"
  | "requires_action"
  | "processing"
  | "authorized"
  | "captured"
  | "declined"
  | "cancelled"
  | "expired";

/** Something of a payment that takes its time. */
export interface Part {
  readonly id: string;
  readonly amount: number;
  readonly status: "pending" | "succeeded" | "failed";
  /** Of the call that asked for it; null where none did. */
  readonly nonce: string | null;
  readonly failure: Decline | null;
}

export interface Refund extends Part {
  readonly reason: string | null;
}

export interface Dispute {
  readonly id: string;
  readonly amount: number;
  readonly status: "inquiry" | "open" | "won" | "lost";
  readonly reason: string;
  readonly evidence_due: number;
}

export interface SandboxPayment {
  readonly id: string;
  readonly created: number;
  readonly amount: number;
  readonly currency: string;
  readonly capture: "automatic" | "manual";
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: Status;
  readonly token: Token | null;
  /** Of the confirmation. */
  readonly nonce: string | null;
  readonly return_url: string | null;
  readonly captured: number;
  readonly failure: Decline | null;
  readonly captures: readonly Part[];
  readonly refunds: readonly Refund[];
  readonly disputes: readonly Dispute[];
  /** Until when queries do not find it. */
  readonly hidden_until: number;
}

/** How many captures, refunds and disputes of a payment are listed with it. */
export const MAX_PARTS_LISTED = 20;

/** Kinds of money that moved: what a checker counts. Of each kind, a nonce has one at most. */
export const EFFECT_KINDS = [
  "authorized",
  "captured",
  "released",
  "refunded",
  "refund_reversed",
  "dispute_lost",
] as const;

export interface Effect {
  readonly kind: (typeof EFFECT_KINDS)[number];
  readonly amount: number;
  readonly nonce: string | null;
}

/** What happens to a payment later, by itself. */
export type Step =
  | { readonly step: PaymentStep }
  | {
      readonly step: PartStep;
      /** Of the capture, refund or dispute. */
      readonly id: string;
    };
type PaymentStep = "decide" | "end_action" | "lapse" | "pay_late" | "open_dispute" | "refund_in_dashboard";
type PartStep = "end_capture" | "end_refund" | "reverse_refund" | "close_dispute";

export interface Later {
  readonly step: Step;
  readonly afterMs: number;
}

/** What an action or a step came to. */
export interface Change {
  readonly payment: SandboxPayment;
  readonly effects: readonly Effect[];
  readonly later: readonly Later[];
  /** What kind of thing has changed, for the notification; null where nobody is told. */
  readonly about: "payment" | "refund" | "dispute" | null;
}

/** Why an action is not done. */
export interface Refusal {
  readonly status: 409 | 422;
  readonly code: "wrong_state" | "amount_too_large";
  readonly message: string;
}

export const isRefusal = (result: Change | Refusal): result is Refusal => "code" in result;

/** A random name with a prefix that says what it names. */
export type MakeId = (prefix: string) => string;

/** What has not gone back to the payer, nor is about to. */
export function refundable({ captured, refunds, disputes }: SandboxPayment): number {
  const gone = refunds.filter(({ status }) => status !== "failed").reduce((sum, { amount }) => sum + amount, 0);
  const held = disputes
    .filter(({ status }) => status === "open" || status === "lost")
    .reduce((sum, { amount }) => sum + amount, 0);
  return captured - gone - held;
}

export function behaviourOf({ token }: SandboxPayment): Behaviour {
  return token === null ? { group: "outcome", does: "" } : TOKENS[token];
}

/** A change without more to say of it is of the payment itself. */
export function change(
  payment: SandboxPayment,
  effects: readonly Effect[],
  laterSteps: readonly Later[],
  about: Change["about"] = "payment",
): Change {
  return { payment, effects, later: laterSteps, about };
}

export function later(step: PaymentStep, afterMs: number): Later {
  return { step: { step }, afterMs };
}

export function laterOf(step: PartStep, id: string): Later {
  return { step: { step, id }, afterMs: DELAY_MS };
}
