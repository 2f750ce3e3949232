/**
 * The adapter of Mollie: the payer moves the money on Mollie's page, so that making a payment moves nothing, and confirming it is showing
 * the payer there. `docs/providers.md` says what maps to what.
 */
import { z } from "zod";
import { UNREADABLE } from "../exchange";
import type { Failure } from "../failures";
import type {
  AccountAdapter,
  Connection,
  Performed,
  Prepared,
  ProviderOperation,
  ProviderStatus,
  Released,
  Snapshot,
} from "../seam";
import { CARD_TOKEN, mollieAccount, requestFault } from "./account";
import { toMollieAmount } from "./amounts";
import { type Answer, errorOf, judgeUnanswered, paymentPath, post, remove } from "./calls";
import { refusal } from "./failures";
import { checkCredentials, findByNonce, list } from "./list";
import { notificationUrl, readNotification } from "./notification";
import { type LookedUp, locate, lookUp, observe } from "./observe";
import { CaptureSchema, captureOf, METADATA, PaymentSchema, RefundSchema, refundOf } from "./snapshot";

/** Less than the hour for which Mollie keeps keys (https://docs.mollie.com/reference/api-idempotency), for a call that is long on its way. */
const KEY_WINDOW_MS = 55 * 60_000;

export const mollie: AccountAdapter = {
  capabilities: {
    reference: "first",
    query: "by_reference",
    keyWindowMs: KEY_WINDOW_MS,
    notification: "hint",
    ownNotificationUrl: true,
    manualCapture: true,
    partialCapture: true,
    partialRefund: true,
  },
  account: mollieAccount,
  check: requestFault,
  prepare,
  perform,
  release,
  observe: (connection, { reference }) => observe(connection, reference),
  readNotification,
  list,
  locate,
  checkCredentials,
};

/** What a payment, a capture or a refund is marked with. */
const marksOf = ({ payment, nonce }: ProviderOperation) => ({
  [METADATA.paymentId]: String(payment.id),
  [METADATA.merchantId]: String(payment.merchantId),
  [METADATA.nonce]: nonce,
});

/**
 * Makes a payment that nobody has paid: a second one, which nobody is shown, would expire. One with a card token may be paid at once, if the
 * payer's bank asks nothing; the token serves for one payment, so that a second call is refused and the first payment is found. So it is
 * where the key stands for other words (400): since the first call, a secret was rotated or the description changed.
 */
async function prepare(connection: Connection, operation: ProviderOperation): Promise<Prepared> {
  const { payment, request, nonce, openedAt = 0 } = operation;
  const { paymentMethod, description = `Payment ${payment.id}`, returnUrl } = request;
  const isCard = paymentMethod !== undefined && CARD_TOKEN.test(paymentMethod);
  const answer = await post(connection, "/payments", `${nonce}_prepare`, {
    amount: toMollieAmount(payment.amountMinor, payment.currency),
    description,
    redirectUrl: returnUrl,
    webhookUrl: await notificationUrl(connection, operation),
    captureMode: payment.captureMethod,
    method: isCard ? "creditcard" : paymentMethod,
    cardToken: isCard ? paymentMethod : undefined,
    metadata: marksOf(operation),
  });
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.tag !== "answer") return answer;
  if (answer.status < 300) {
    const made = PaymentSchema.safeParse(answer.json);
    return made.success ? { tag: "prepared", reference: made.data.id } : UNREADABLE;
  }
  const mayBeMade = isCard || answer.status === 400;
  const found = mayBeMade ? await findByNonce(connection, nonce, openedAt) : null;
  if (found !== null && found.tag !== "found") return found;
  const earlier = found?.payment ?? null;
  return earlier === null
    ? { tag: "refused", failure: refusal("authorize", errorOf(answer)) }
    : { tag: "prepared", reference: earlier.id };
}

function perform(connection: Connection, operation: ProviderOperation): Promise<Performed> {
  const { kind, payment } = operation;
  const { reference } = payment;
  if (reference === null) {
    return Promise.reject(new Error(`${kind} of payment ${payment.id} needs the provider's reference`));
  }
  switch (kind) {
    case "authorize":
      // The payer does it: what Mollie says of the payment leads there.
      return lookUp(connection, reference).then(readAs);
    case "cancel":
      return cancel(connection, operation, reference);
    case "capture":
    case "refund":
      return make(connection, operation, reference, kind);
  }
}

/** Makes a capture or a refund. Nothing but its key keeps it from being made twice. */
async function make(
  connection: Connection,
  operation: ProviderOperation,
  reference: string,
  kind: "capture" | "refund",
): Promise<Performed> {
  const { nonce, payment, amountMinor, request } = operation;
  const answer = await post(connection, `${paymentPath(reference)}/${kind}s`, `${nonce}_${kind}`, {
    amount: toMollieAmount(amountMinor, payment.currency),
    description: request.reason ?? `Payment ${payment.id}`,
    metadata: marksOf(operation),
  });
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.tag !== "answer") return answer;
  if (answer.status >= 300) {
    return judgeRefusal(operation, refusal(kind, errorOf(answer)), await lookUp(connection, reference));
  }
  const made = OfPaymentSchema.safeParse(answer.json);
  if (!made.success || made.data.paymentId !== reference) return UNREADABLE;
  const found = await lookUp(connection, reference);
  if (found.tag !== "answered") return readAs(found);
  const snapshot = kind === "capture" ? withCapture(found, answer.json) : withRefund(found, answer.json);
  return snapshot === null ? UNREADABLE : { tag: "answered", snapshot };
}

const OfPaymentSchema = z.object({ paymentId: z.string() });
type Found = Extract<LookedUp, { tag: "answered" }>;

/** A payment with a capture that was just made, which it may not show yet. */
function withCapture({ payment, snapshot }: Found, json: unknown): Snapshot | null {
  const read = CaptureSchema.safeParse(json);
  const capture = read.success ? captureOf(read.data, payment.amount) : null;
  if (!read.success || capture === null) return null;
  const isShown = payment._embedded?.captures?.some(({ id }) => id === read.data.id);
  return isShown ? snapshot : { ...snapshot, captures: [...snapshot.captures, capture] };
}

/** A payment with a refund that was just made, which it may not show yet. */
function withRefund({ snapshot }: Found, json: unknown): Snapshot | null {
  const read = RefundSchema.safeParse(json);
  const refund = read.success ? refundOf(read.data, snapshot.currency) : null;
  if (refund === null) return null;
  const isShown = snapshot.refunds.some(({ reference }) => reference === refund.reference);
  return isShown ? snapshot : { ...snapshot, refunds: [...snapshot.refunds, refund] };
}

/** What can still be ended. */
const LIVE: readonly ProviderStatus[] = ["requires_action", "processing", "authorized"];

/**
 * Ends a payment that nobody has paid, or has what is held released, which is done after the answer. What Mollie does not let be cancelled
 * is asked about again: its payer pays it, or it expires there.
 */
async function cancel(connection: Connection, operation: ProviderOperation, reference: string): Promise<Performed> {
  const found = await lookUp(connection, reference);
  if (found.tag !== "answered") return readAs(found);
  const { isCancelable, status } = found.payment;
  const isHeld = status === "authorized";
  if (!LIVE.includes(found.snapshot.status) || !(isCancelable || isHeld)) return readAs(found);
  const key = `${operation.nonce}_cancel`;
  const answer = isCancelable
    ? await remove(connection, paymentPath(reference), key)
    : await postRelease(connection, reference, key);
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.tag !== "answer") return answer;
  const after = await lookUp(connection, reference);
  return answer.status < 300 ? readAs(after) : judgeRefusal(operation, refusal("cancel", errorOf(answer)), after);
}

const postRelease = (connection: Connection, reference: string, key: string): Promise<Answer> =>
  post(connection, `${paymentPath(reference)}/release-authorization`, key, {});

/** Has what a capture has left released. Mollie takes the request and does what it can: the payer's bank releases it. */
async function release(connection: Connection, { payment, nonce }: ProviderOperation): Promise<Released> {
  if (payment.reference === null) throw new Error(`Payment ${payment.id} has no reference to be released by`);
  const answer = await postRelease(connection, payment.reference, `${nonce}_release`);
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.tag !== "answer") return answer;
  return answer.status < 300 ? { tag: "released" } : { tag: "refused", failure: refusal("capture", errorOf(answer)) };
}

/** What a refusal comes to. An earlier call, whose answer was lost, may have done it: the payment says more than the refusal. */
function judgeRefusal(operation: ProviderOperation, failure: Failure, found: LookedUp): Performed {
  if (found.tag === "not_found") return { tag: "refused", failure };
  if (found.tag !== "answered") return found;
  const { snapshot } = found;
  return isDone(snapshot, operation) ? { tag: "answered", snapshot } : { tag: "refused", failure, snapshot };
}

/** Whether a payment has what the operation asked for: its state, or what bears its nonce. */
function isDone({ status, captures, refunds }: Snapshot, { kind, nonce }: ProviderOperation): boolean {
  if (kind === "cancel") return !LIVE.includes(status);
  return [...captures, ...refunds].some((part) => part.nonce === nonce);
}

/** What was looked up, as what became of a call. A payment that was just made is not absent for not being found. */
function readAs(found: LookedUp): Performed {
  if (found.tag === "answered") return { tag: "answered", snapshot: found.snapshot };
  return found.tag === "not_found"
    ? { tag: "unknown", detail: "The provider does not know the payment, or not yet" }
    : found;
}
