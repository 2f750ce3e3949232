/** PaymentIntents, refunds and disputes as Stripe shows them, in the service's words. Pure. */
import type Stripe from "stripe";
import { z } from "zod";
import type { NextAction, ProviderDispute, ProviderRefund, ProviderStatus, Snapshot } from "../seam";
import { fromStripeAmount } from "./amounts";
import { paymentFailure } from "./failures";

const amount = z.number().int().nonnegative();
const seconds = z.number().int().nonnegative();
const text = z.string().nullish();
const metadata = z.record(z.string(), z.string());

export const RefundSchema = z.object({
  id: z.string().min(1),
  amount,
  currency: z.string(),
  created: seconds,
  status: text,
  failure_reason: text,
  metadata: metadata.nullish(),
});

export const ChargeSchema = z.object({
  amount,
  amount_captured: amount.optional(),
  amount_refunded: amount,
  disputed: z.boolean().optional(),
  // There where it was asked for.
  refunds: z.object({ data: z.array(RefundSchema), has_more: z.boolean() }).nullish(),
});

export const IntentSchema = z.object({
  id: z.string().min(1),
  status: z.string(),
  amount,
  amount_received: amount,
  currency: z.string(),
  created: seconds,
  client_secret: text,
  cancellation_reason: text,
  metadata,
  next_action: z.object({ redirect_to_url: z.object({ url: text }).nullish() }).nullish(),
  last_payment_error: z.object({ type: text, code: text, decline_code: text, message: text }).nullish(),
  latest_charge: z.union([z.string(), ChargeSchema]).nullish(),
});

export const DisputeSchema = z.object({
  id: z.string().min(1),
  amount,
  currency: z.string(),
  created: seconds,
  status: z.string(),
  reason: text,
  evidence_details: z.object({ due_by: seconds.nullish() }).nullish(),
});

export type Intent = z.output<typeof IntentSchema>;
export type Refund = z.output<typeof RefundSchema>;
export type Dispute = z.output<typeof DisputeSchema>;

/** What is asked for with a PaymentIntent: its charge, with the newest of its refunds. */
export const CHARGE = "latest_charge.refunds";

/** The names of what a PaymentIntent and a refund are marked with. */
export const METADATA = {
  paymentId: "payment_id",
  merchantId: "merchant_id",
  nonce: "nonce",
  confirmation: "confirmation",
} as const;

/** The values of an enumeration that Stripe documents; its types add any other text. */
type Documented<T> = T extends string ? (string extends T ? never : T) : never;
type IntentStatus = Documented<Stripe.PaymentIntent.Status>;

const INTENT_STATUSES: Readonly<Record<IntentStatus, true>> = {
  requires_payment_method: true,
  requires_confirmation: true,
  requires_action: true,
  processing: true,
  requires_capture: true,
  succeeded: true,
  canceled: true,
};

const isDocumented = (status: string): status is IntentStatus => Object.hasOwn(INTENT_STATUSES, status);

/** Whether the payer's browser confirms the payment, in Stripe's script. */
const isConfirmedByPayer = ({ metadata }: Intent): boolean => metadata[METADATA.confirmation] === "client";

/** Why Stripe ends a payment itself: its authorisation has lapsed, or nobody completed it. */
const LAPSES: readonly (string | null | undefined)[] = ["automatic", "expired"];

/** A status of Stripe's in the service's words. One that is not documented is `processing`: never a success. */
export function statusOf(intent: Intent): ProviderStatus {
  const { status } = intent;
  if (!isDocumented(status)) return "processing";
  switch (status) {
    case "requires_payment_method":
      // After a decline the payer may try another card in the same script, so that nothing is final before the payment expires.
      if (isConfirmedByPayer(intent)) return "requires_action";
      return intent.last_payment_error ? "failed" : "open";
    case "requires_confirmation":
      return isConfirmedByPayer(intent) ? "requires_action" : "open";
    case "requires_action":
      return "requires_action";
    case "processing":
      return "processing";
    case "requires_capture":
      return "authorized";
    case "succeeded":
      return "captured";
    case "canceled":
      return LAPSES.includes(intent.cancellation_reason) ? "expired" : "cancelled";
  }
}

/** What the payer does next, where a payment waits for that. */
function nextActionOf({ status, next_action }: Intent): NextAction {
  const url = status === "requires_action" ? next_action?.redirect_to_url?.url : null;
  return url ? { type: "redirect", url } : { type: "client" };
}

/** A refund as Stripe has it; null where its amount is none of the currency's. */
export function refundOf(refund: Refund): ProviderRefund | null {
  const amountMinor = fromStripeAmount(refund.amount, refund.currency.toUpperCase());
  if (amountMinor === null) return null;
  const { status, failure_reason } = refund;
  const state = status === "failed" || status === "canceled" ? "failed" : status === "succeeded" ? status : "pending";
  const message = `Stripe could not make the refund: ${failure_reason ?? status}`;
  return {
    reference: refund.id,
    nonce: refund.metadata?.[METADATA.nonce] ?? null,
    amountMinor,
    state,
    failure:
      state === "failed" ? { code: "refund_failed", decline_code: failure_reason ?? status ?? null, message } : null,
  };
}

/**
 * Stripe lists what a partial capture releases as a refund, the first one, although it was never captured: that one is none. Nobody
 * asked for it, so that it bears no nonce.
 *
 * @param refunds all that the charge has
 */
export function withoutRelease(intent: Intent, refunds: readonly Refund[]): readonly Refund[] {
  const first = Math.min(...refunds.map(({ created }) => created));
  const release = refunds.findLast((refund) => refund.created === first && isRelease(intent, refund));
  return refunds.filter((refund) => refund !== release);
}

/** Whether a refund is of just what a partial capture left, and nobody here asked for it. */
export function isRelease({ amount, amount_received }: Intent, refund: Refund): boolean {
  const isPartial = amount_received > 0 && amount_received < amount;
  return isPartial && refund.amount === amount - amount_received && !refund.metadata?.[METADATA.nonce];
}

type DisputeStatus = Documented<Stripe.Dispute.Status>;

/** Stripe's statuses of disputes. Whatever else it says is a dispute that is open. */
export const DISPUTE_STATES: Readonly<Record<DisputeStatus, ProviderDispute["state"]>> = {
  warning_needs_response: "inquiry",
  warning_under_review: "inquiry",
  // The inquiry came to no dispute.
  warning_closed: "won",
  needs_response: "open",
  under_review: "open",
  appeal_needs_response: "open",
  appeal_under_review: "open",
  won: "won",
  lost: "lost",
  // The money went back as a refund before it was held back.
  prevented: "won",
};

const isDisputeStatus = (status: string): status is DisputeStatus => Object.hasOwn(DISPUTE_STATES, status);

/** A dispute of a payment as Stripe has it. In another currency than the payment's, it is of all that was captured. */
export function disputeOf(dispute: Dispute, { currency, amount_received }: Intent): ProviderDispute | null {
  const { id, status, reason = null, evidence_details } = dispute;
  const dueBy = evidence_details?.due_by;
  const disputed = dispute.currency === currency ? dispute.amount : amount_received;
  const amountMinor = fromStripeAmount(disputed, currency.toUpperCase());
  if (amountMinor === null) return null;
  return {
    reference: id,
    amountMinor,
    state: isDisputeStatus(status) ? DISPUTE_STATES[status] : "open",
    reason,
    dueAt: dueBy ? dueBy * 1_000 : null,
  };
}

/** A payment with these refunds and disputes; null where an amount is none of its currency's. */
export function toSnapshot(intent: Intent, refunds: readonly Refund[], disputes: readonly Dispute[]): Snapshot | null {
  const currency = intent.currency.toUpperCase();
  const amountMinor = fromStripeAmount(intent.amount, currency);
  const capturedMinor = fromStripeAmount(intent.amount_received, currency);
  const made = withoutRelease(intent, refunds).map(refundOf);
  const disputed = disputes.map((dispute) => disputeOf(dispute, intent));
  if (amountMinor === null || capturedMinor === null || made.includes(null) || disputed.includes(null)) return null;
  const status = statusOf(intent);
  const nextAction = status === "requires_action" ? nextActionOf(intent) : null;
  const { client_secret, last_payment_error } = intent;
  return {
    reference: intent.id,
    status,
    amountMinor,
    currency,
    capturedMinor,
    nextAction,
    ...(nextAction?.type === "client" && client_secret && { clientSecret: client_secret }),
    failure: status === "failed" && last_payment_error ? paymentFailure(last_payment_error) : null,
    // A capture is done with its call: the amount that was received says it.
    captures: [],
    refunds: made.filter((refund) => refund !== null),
    disputes: disputed.filter((dispute) => dispute !== null),
  };
}

/** The PaymentIntent of this name that an answer shows; null where it shows none, or another one. */
export function intentIn(json: unknown, reference: string): Intent | null {
  const read = IntentSchema.safeParse(json);
  return read.success && read.data.id === reference ? read.data : null;
}

/** The refunds that a PaymentIntent was answered with; null where it was not answered with them all. */
export function refundsWithin({ latest_charge }: Intent): readonly Refund[] | null {
  if (!latest_charge) return [];
  const refunds = typeof latest_charge === "string" ? null : latest_charge.refunds;
  return refunds && !refunds.has_more ? refunds.data : null;
}
