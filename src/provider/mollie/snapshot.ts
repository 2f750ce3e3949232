/** A payment at Mollie with its captures, refunds and chargebacks, in the service's words. Pure. */
import { z } from "zod";
import type { Failure } from "../failures";
import { markedPaymentId } from "../marks";
import type {
  Connection,
  NextAction,
  ProviderCapture,
  ProviderDispute,
  ProviderRefund,
  ProviderStatus,
  Snapshot,
} from "../seam";
import { AmountSchema, fromMollieAmount, type MollieAmount } from "./amounts";
import { CANCELLED_BY_PAYER, paymentFailure } from "./failures";

/** What the service marks its payments, captures and refunds with. */
export const METADATA = { paymentId: "payment_id", merchantId: "merchant_id", nonce: "nonce" } as const;

const id = z.string().min(1);
const text = z.string().nullish();
const href = z.object({ href: z.string() }).nullish();

export const CaptureSchema = z.object({
  id,
  amount: AmountSchema.nullish(),
  status: z.string(),
  metadata: z.unknown().optional(),
});
export const RefundSchema = z.object({
  id,
  amount: AmountSchema,
  status: z.string(),
  metadata: z.unknown().optional(),
});
const ChargebackSchema = z.object({
  id,
  amount: AmountSchema,
  reason: z.object({ description: text }).nullish(),
  reversedAt: text,
});
type Capture = z.output<typeof CaptureSchema>;
type Refund = z.output<typeof RefundSchema>;
type Chargeback = z.output<typeof ChargebackSchema>;

export const PaymentSchema = z.object({
  resource: z.literal("payment"),
  id,
  status: z.string(),
  amount: AmountSchema,
  amountCaptured: AmountSchema.nullish(),
  amountRefunded: AmountSchema.nullish(),
  createdAt: z.string(),
  authorizedAt: text,
  isCancelable: z.boolean().nullish(),
  metadata: z.unknown().optional(),
  details: z.object({ failureReason: text, failureMessage: text }).nullish(),
  _links: z.object({ checkout: href, captures: href, refunds: href, chargebacks: href }),
  _embedded: z
    .object({
      captures: z.array(CaptureSchema).nullish(),
      refunds: z.array(RefundSchema).nullish(),
      chargebacks: z.array(ChargebackSchema).nullish(),
    })
    .nullish(),
});
export type MolliePayment = z.output<typeof PaymentSchema>;

/** The payment of this name that an answer shows; null where it shows none, or another one. */
export function paymentIn(json: unknown, reference: string): MolliePayment | null {
  const read = PaymentSchema.safeParse(json);
  return read.success && read.data.id === reference ? read.data : null;
}

/** Mollie's statuses of payments (https://docs.mollie.com/docs/handling-payment-status). Any other one is `processing`. */
export const STATUSES: Readonly<Record<string, ProviderStatus>> = {
  open: "requires_action",
  pending: "processing",
  authorized: "authorized",
  paid: "captured",
  canceled: "cancelled",
  expired: "expired",
  failed: "failed",
};

/**
 * Where a payment is. Mollie calls one `authorized` as long as more can be captured of it; here, what is captured once is captured, and
 * the rest is released. What is open and has no page for its payer is Mollie's to go on with.
 */
export function statusOf(payment: MolliePayment): ProviderStatus {
  const { status, amountCaptured, _links } = payment;
  const known = (Object.hasOwn(STATUSES, status) ? STATUSES[status] : undefined) ?? "processing";
  if (known === "requires_action" && !_links.checkout) return "processing";
  const isCapturedInPart = known === "authorized" && amountCaptured && fromMollieAmount(amountCaptured) !== 0;
  return isCapturedInPart ? "captured" : known;
}

/** What was captured, in minor units; null where it is no amount of the currency. Of a method without captures, it is all that was paid. */
export function capturedOf(payment: MolliePayment): number | null {
  const { amount, amountCaptured } = payment;
  if (statusOf(payment) !== "captured") return 0;
  return minorOf(amountCaptured ?? amount, amount.currency);
}

/** An amount of a payment in minor units; null where it is none of the payment's currency. */
const minorOf = (amount: MollieAmount, currency: string): number | null =>
  amount.currency === currency ? fromMollieAmount(amount) : null;

const MetadataSchema = z.record(z.string(), z.unknown());

/** What something at Mollie is marked with under a name; null where it is not, or was marked by somebody else. */
function markOf(metadata: unknown, name: string): string | null {
  const read = MetadataSchema.safeParse(metadata);
  const mark = read.success ? read.data[name] : undefined;
  return typeof mark === "string" ? mark : null;
}

export const nonceOf = (metadata: unknown): string | null => markOf(metadata, METADATA.nonce);

/** The service's own name for a payment, in what something at Mollie is marked with; null where it is somebody else's. */
export const paymentIdIn = (metadata: unknown, connection: Pick<Connection, "merchantId">): number | null =>
  markedPaymentId(
    { paymentId: markOf(metadata, METADATA.paymentId), merchantId: markOf(metadata, METADATA.merchantId) },
    connection,
  );

/** A capture as Mollie has it; null where its amount is none of the payment's currency. Without an amount, it is of all. */
export function captureOf({ amount, status, metadata }: Capture, of: MollieAmount): ProviderCapture | null {
  const amountMinor = minorOf(amount ?? of, of.currency);
  if (amountMinor === null) return null;
  const state = status === "succeeded" || status === "failed" ? status : "pending";
  const message = "Mollie could not capture the amount: the authorisation may have ended";
  return {
    nonce: nonceOf(metadata),
    amountMinor,
    state,
    failure: state === "failed" ? { code: "capture_failed", decline_code: null, message } : null,
  };
}

const REFUND_STATES: Readonly<Record<string, ProviderRefund["state"]>> = {
  queued: "pending",
  pending: "pending",
  processing: "pending",
  refunded: "succeeded",
  failed: "failed",
  canceled: "failed",
};

/** A refund as Mollie has it; null where its amount is none of the payment's currency. */
export function refundOf(refund: Refund, currency: string): ProviderRefund | null {
  const { id: reference, status, metadata } = refund;
  const amountMinor = minorOf(refund.amount, currency);
  if (amountMinor === null) return null;
  const state = (Object.hasOwn(REFUND_STATES, status) ? REFUND_STATES[status] : undefined) ?? "pending";
  const message =
    status === "canceled"
      ? "The refund was cancelled at Mollie"
      : "Mollie could not make the refund, and does not say why";
  return {
    reference,
    nonce: nonceOf(metadata),
    amountMinor,
    state,
    failure: state === "failed" ? { code: "refund_failed", decline_code: status, message } : null,
  };
}

/**
 * A chargeback as Mollie has it. Mollie has taken the money back when it tells of one, takes no evidence over its API and names no day of
 * a decision: the dispute stays open, and counts as money that is gone, unless the chargeback is reversed.
 */
function disputeOf({ id: reference, amount, reason, reversedAt }: Chargeback, currency: string, captured: number) {
  // In another currency than the payment's, it is of all that was captured.
  const amountMinor = amount.currency === currency ? fromMollieAmount(amount) : captured;
  if (amountMinor === null) return null;
  const state = reversedAt ? ("won" as const) : ("open" as const);
  return { reference, amountMinor, state, reason: reason?.description ?? null, dueAt: null } satisfies ProviderDispute;
}

function failureOf({ status, authorizedAt, details }: MolliePayment): Failure | null {
  if (status === "failed") return paymentFailure(details?.failureReason, details?.failureMessage);
  return status === "canceled" && !authorizedAt ? CANCELLED_BY_PAYER : null;
}

/** A payment with all that is embedded in it; null where an amount is none of its currency, or where a list is missing that it says it has. */
export function toSnapshot(payment: MolliePayment): Snapshot | null {
  const { amount, _embedded: embedded, _links: links } = payment;
  const { currency } = amount;
  const amountMinor = fromMollieAmount(amount);
  const capturedMinor = capturedOf(payment);
  if (amountMinor === null || capturedMinor === null) return null;
  // What is not in a snapshot counts as absent.
  const isMissing = (["captures", "refunds", "chargebacks"] as const).some((name) => links[name] && !embedded?.[name]);
  const isRefunded = payment.amountRefunded && fromMollieAmount(payment.amountRefunded) !== 0;
  if (isMissing || (isRefunded && !embedded?.refunds)) return null;
  const captures = (embedded?.captures ?? []).map((capture) => captureOf(capture, amount));
  const refunds = (embedded?.refunds ?? []).map((refund) => refundOf(refund, currency));
  const disputes = (embedded?.chargebacks ?? []).map((one) => disputeOf(one, currency, capturedMinor));
  if (captures.includes(null) || refunds.includes(null) || disputes.includes(null)) return null;
  const status = statusOf(payment);
  const nextAction: NextAction | null =
    status === "requires_action" && links.checkout ? { type: "redirect", url: links.checkout.href } : null;
  return {
    reference: payment.id,
    status,
    amountMinor,
    currency,
    capturedMinor,
    ...(payment.status === "authorized" && status === "captured" && { heldMinor: amountMinor - capturedMinor }),
    nextAction,
    failure: failureOf(payment),
    captures: captures.filter((capture) => capture !== null),
    refunds: refunds.filter((refund) => refund !== null),
    disputes: disputes.filter((dispute) => dispute !== null),
  };
}
