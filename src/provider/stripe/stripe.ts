/**
 * The adapter of Stripe: PaymentIntents, confirmed from here with the payer's means of payment, or by the payer's browser with the
 * payment's client secret.
 */
import type Stripe from "stripe";
import { z } from "zod";
import { UNREADABLE } from "../exchange";
import type { AccountAdapter, Connection, Observed, Performed, Prepared, ProviderOperation, Snapshot } from "../seam";
import { requestFault, stripeAccount } from "./account";
import { toStripeAmount } from "./amounts";
import { type Answer, errorOf, intentPath, judgeUnanswered, post, postGuarded } from "./calls";
import { checkCredentials } from "./credentials";
import { refusal } from "./failures";
import { list } from "./list";
import { readNotification } from "./notification";
import { locate, lookUp, observe } from "./observe";
import {
  CHARGE,
  IntentSchema,
  intentIn,
  METADATA,
  RefundSchema,
  refundOf,
  refundsWithin,
  toSnapshot,
} from "./snapshot";

/** An hour less than the 24 for which Stripe keeps them at least, for a call that is long on its way. */
const KEY_WINDOW_MS = 23 * 3_600_000;

export const stripe: AccountAdapter = {
  capabilities: {
    reference: "first",
    query: "by_reference",
    keyWindowMs: KEY_WINDOW_MS,
    notification: "hint",
    ownNotificationUrl: false,
    manualCapture: true,
    partialCapture: true,
    partialRefund: true,
  },
  account: stripeAccount,
  check: requestFault,
  prepare,
  perform,
  observe: (connection, { reference }) => observe(connection, reference),
  readNotification,
  list,
  locate,
  checkCredentials,
};

/** Makes a PaymentIntent that nobody has confirmed: a second one, which nobody knows, would hold nothing. */
async function prepare(connection: Connection, operation: ProviderOperation): Promise<Prepared> {
  const { payment, request, nonce } = operation;
  const amount = toStripeAmount(payment.amountMinor, payment.currency);
  if (amount.tag === "inexpressible") {
    return { tag: "refused", failure: { code: "provider_error", decline_code: null, message: amount.detail } };
  }
  const isConfirmedHere = request.paymentMethod !== undefined;
  const isWithoutRedirect = isConfirmedHere && request.returnUrl === undefined;
  const answer = await postGuarded(connection, "/v1/payment_intents", `${nonce}_prepare`, {
    amount: String(amount.amount),
    currency: payment.currency.toLowerCase(),
    capture_method: payment.captureMethod,
    payment_method: request.paymentMethod,
    "automatic_payment_methods[enabled]": "true",
    // What may lead the payer elsewhere needs to know where back to.
    "automatic_payment_methods[allow_redirects]": isWithoutRedirect ? "never" : undefined,
    description: request.description,
    [`metadata[${METADATA.paymentId}]`]: String(payment.id),
    [`metadata[${METADATA.merchantId}]`]: String(payment.merchantId),
    [`metadata[${METADATA.nonce}]`]: nonce,
    [`metadata[${METADATA.confirmation}]`]: isConfirmedHere ? "server" : "client",
  });
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.tag !== "answer") return answer;
  if (answer.status >= 300) return { tag: "refused", failure: refusal("authorize", errorOf(answer)) };
  const made = IntentSchema.safeParse(answer.json);
  return made.success ? { tag: "prepared", reference: made.data.id } : UNREADABLE;
}

async function perform(connection: Connection, operation: ProviderOperation): Promise<Performed> {
  const { kind, payment, request } = operation;
  const { reference } = payment;
  if (reference === null) throw new Error(`${kind} of payment ${payment.id} needs the provider's reference`);
  // The payer's browser confirms it: what it needs for that is in the payment.
  if (kind === "authorize" && request.paymentMethod === undefined) return readAs(await observe(connection, reference));

  // Nothing else says an amount: a confirmation and a cancellation are of the whole payment.
  const amount = toStripeAmount(kind === "capture" || kind === "refund" ? operation.amountMinor : 0, payment.currency);
  if (amount.tag === "inexpressible") return { tag: "refused", failure: refusal(kind, { message: amount.detail }) };
  const answer = await send(connection, operation, reference, String(amount.amount));
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.tag !== "answer") return answer;
  if (answer.status >= 300) return judgeRefusal(connection, operation, reference, errorOf(answer));
  if (kind === "refund") return readRefund(connection, reference, answer.json);
  const intent = intentIn(answer.json, reference);
  const snapshot = intent && toSnapshot(intent, refundsWithin(intent) ?? [], []);
  return snapshot ? { tag: "answered", snapshot } : UNREADABLE;
}

/** The one call that an operation is: the same in every letter whenever it is repeated. */
function send(
  connection: Connection,
  { kind, nonce, payment, request }: ProviderOperation,
  reference: string,
  amount: string,
): Promise<Answer> {
  const path = intentPath(reference);
  const key = `${nonce}_${kind}`;
  const { returnUrl: return_url, reason } = request;
  switch (kind) {
    case "authorize":
      // The means of payment was given when the payment was made.
      return postGuarded(connection, `${path}/confirm`, key, { return_url, "expand[]": CHARGE });
    case "capture":
      return postGuarded(connection, `${path}/capture`, key, { amount_to_capture: amount, "expand[]": CHARGE });
    case "cancel": {
      const cancellation_reason = oneOf(CANCELLATION_REASONS, reason);
      return postGuarded(connection, `${path}/cancel`, key, { cancellation_reason, "expand[]": CHARGE });
    }
    case "refund":
      // Nothing but its key keeps it from being made twice.
      return post(connection, "/v1/refunds", key, {
        payment_intent: reference,
        amount,
        reason: oneOf(REFUND_REASONS, reason),
        [`metadata[${METADATA.paymentId}]`]: String(payment.id),
        [`metadata[${METADATA.merchantId}]`]: String(payment.merchantId),
        [`metadata[${METADATA.nonce}]`]: nonce,
        "expand[]": `payment_intent.${CHARGE}`,
      });
  }
}

type CancelReason = Stripe.PaymentIntentCancelParams.CancellationReason;
type RefundReason = Stripe.RefundCreateParams.Reason;
/** Stripe's words for why: another one would be refused. */
const CANCELLATION_REASONS: readonly CancelReason[] = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
const REFUND_REASONS: readonly RefundReason[] = ["duplicate", "fraudulent", "requested_by_customer"];

const oneOf = (words: readonly string[], word: string | undefined): string | undefined =>
  words.find((known) => known === word);

const MadeRefundSchema = RefundSchema.extend({ payment_intent: z.union([z.string(), IntentSchema]) });

/** What a refund that was made says of its payment, which is asked where it does not show it. */
async function readRefund(connection: Connection, reference: string, json: unknown): Promise<Performed> {
  const read = MadeRefundSchema.safeParse(json);
  if (!read.success) return UNREADABLE;
  const { payment_intent: of, ...refund } = read.data;
  if ((typeof of === "string" ? of : of.id) !== reference) return UNREADABLE;
  const observed = typeof of === "string" ? await observe(connection, reference) : null;
  if (observed !== null && observed.tag !== "answered") return readAs(observed);
  const snapshot = typeof of === "string" ? null : toSnapshot(of, refundsWithin(of) ?? [], []);
  const shown = observed?.snapshot ?? snapshot;
  const made = refundOf(refund);
  if (shown === null || made === null) return UNREADABLE;
  const isShown = shown.refunds.some((one) => one.reference === made.reference);
  return { tag: "answered", snapshot: isShown ? shown : { ...shown, refunds: [...shown.refunds, made] } };
}

/**
 * What a refusal comes to. What the payment is at Stripe says more than that its state does not allow the call: an earlier one, whose
 * answer was lost, may have done it.
 */
async function judgeRefusal(
  connection: Connection,
  operation: ProviderOperation,
  reference: string,
  error: ReturnType<typeof errorOf>,
): Promise<Performed> {
  const { kind } = operation;
  const failure = refusal(kind, error);
  const shown = intentIn(error.payment_intent, reference);
  const observed = shown === null ? await lookUp(connection, reference) : null;
  if (observed !== null && observed.tag !== "answered") {
    // A refund that was refused is not made by that call, whatever the payment is.
    if (kind === "refund" || observed.tag === "refused") return { tag: "refused", failure };
    if (observed.tag !== "not_found") return observed;
    return kind === "authorize" ? readAs(observed) : { tag: "refused", failure };
  }
  const snapshot = observed?.snapshot ?? (shown && toSnapshot(shown, refundsWithin(shown) ?? [], []));
  if (snapshot === null) return { tag: "refused", failure };
  return isDone(snapshot, operation) ? { tag: "answered", snapshot } : { tag: "refused", failure, snapshot };
}

/** Whether a payment has what the operation asked for: its state, or what bears its nonce. */
function isDone({ status, refunds }: Snapshot, { kind, nonce }: ProviderOperation): boolean {
  switch (kind) {
    case "authorize":
      return status !== "open";
    case "capture":
      return status === "captured";
    case "cancel":
      return status === "cancelled" || status === "expired" || status === "failed";
    case "refund":
      return refunds.some((refund) => refund.nonce === nonce);
  }
}

/** What was observed, as what became of a call. A payment that was just made is not absent for not being found. */
function readAs(observed: Observed): Performed {
  if (observed.tag !== "not_found" && observed.tag !== "unanswerable") return observed;
  return { tag: "unknown", detail: "The provider does not know the payment, or not yet" };
}
