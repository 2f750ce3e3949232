/** The adapter of the sandbox, the provider that behaves like the worst real one. */
import { z } from "zod";
import { busy, exchange, isJudged, type ProviderAnswer, UNREADABLE } from "./exchange";
import type { Failure, FailureCode } from "./failures";
import { hmacSha256, isEqual } from "./mac";
import { requestFault } from "./sandbox-tokens";
import type {
  Adapter,
  Connection,
  NotificationRequest,
  Notified,
  Performed,
  Prepared,
  ProviderCapture,
  ProviderOperation,
  ProviderStatus,
  Snapshot,
  Unanswered,
} from "./seam";

/** Requests go to the account's own object, whatever the host. */
export const SANDBOX_ORIGIN = "https://sandbox.invalid";
/** An hour less than the provider keeps them, for a call that is long on its way. */
const KEY_WINDOW_MS = 23 * 3_600_000;
/** How old a notification may be, or how far ahead of this machine's clock. */
const MAX_NOTIFICATION_AGE_MS = 5 * 60_000;

export const sandbox: Adapter = {
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

  check: requestFault,

  async prepare(connection, operation): Promise<Prepared> {
    const { payment } = operation;
    const answer = await post(connection, "/v1/payments", `${operation.nonce}_prepare`, {
      amount: payment.amountMinor,
      currency: payment.currency,
      capture: payment.captureMethod,
      metadata: { payment_id: String(payment.id), nonce: operation.nonce },
    });
    const unanswered = judgeUnanswered(answer);
    if (unanswered) return unanswered;
    if (answer.tag === "answer" && answer.status < 300) {
      const made = MadeSchema.safeParse(answer.json);
      return made.success ? { tag: "prepared", reference: made.data.id } : UNREADABLE;
    }
    return { tag: "refused", failure: refusalOf(answer) };
  },

  async perform(connection, operation): Promise<Performed> {
    const { path, body } = callOf(operation);
    const answer = await post(connection, path, `${operation.nonce}_${operation.kind}`, body);
    const unanswered = judgeUnanswered(answer);
    if (unanswered) return unanswered;
    const snapshot = answer.tag === "answer" ? snapshotIn(answer.json, operation.payment.reference) : null;
    if (answer.tag === "answer" && (answer.status < 300 || answer.status === 402)) {
      return snapshot ? { tag: "answered", snapshot } : UNREADABLE;
    }
    // A refusal of what an earlier call, whose answer was lost, may have done: the payment tells.
    if (snapshot && isDone(snapshot, operation)) return { tag: "answered", snapshot };
    return { tag: "refused", failure: refusalOf(answer), ...(snapshot && { snapshot }) };
  },

  async observe(connection, { reference }) {
    if (reference === null) return { tag: "unanswerable" };
    const answer = await exchange(
      connection,
      new Request(`${SANDBOX_ORIGIN}/v1/payments/${encodeURIComponent(reference)}`),
    );
    if (answer.tag !== "answer") return answer;
    if (answer.status === 404) return { tag: "not_found" };
    if (answer.status === 501) return { tag: "unanswerable" };
    const unanswered = judgeUnanswered(answer);
    if (unanswered) return unanswered;
    const snapshot = answer.status === 200 ? snapshotIn(answer.json, reference) : null;
    return snapshot ? { tag: "answered", snapshot } : { tag: "unknown", detail: detailOf(answer) };
  },

  readNotification,
};

function post(connection: Connection, path: string, key: string, body: object) {
  return exchange(
    connection,
    new Request(SANDBOX_ORIGIN + path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      body: JSON.stringify(body),
    }),
  );
}

/** The call that an operation is: the same in every letter whenever it is repeated. */
function callOf({ kind, payment, amountMinor, nonce, request }: ProviderOperation): { path: string; body: object } {
  const { reference } = payment;
  if (reference === null) throw new Error(`${kind} of payment ${payment.id} needs the provider's reference`);
  const path = `/v1/payments/${encodeURIComponent(reference)}`;
  const metadata = { nonce };
  const { paymentMethod: payment_method = "", returnUrl: return_url, description, reason } = request;
  switch (kind) {
    case "authorize":
      return { path: `${path}/confirm`, body: { payment_method, return_url, description, metadata } };
    case "capture":
      return { path: `${path}/capture`, body: { amount: amountMinor, metadata } };
    case "cancel":
      return { path: `${path}/cancel`, body: { reason, metadata } };
    case "refund":
      return { path: "/v1/refunds", body: { payment: reference, amount: amountMinor, reason, metadata } };
  }
}

/** Whether a payment, as a refusal shows it, has what the operation asked for: its state, or what bears its nonce. */
function isDone({ status, captures, refunds }: Snapshot, { kind, nonce }: ProviderOperation): boolean {
  switch (kind) {
    case "authorize":
      return status !== "open";
    case "capture":
      return captures.some((capture) => capture.nonce === nonce);
    case "cancel":
      return status === "cancelled" || status === "expired" || status === "failed";
    case "refund":
      return refunds.some((refund) => refund.nonce === nonce);
  }
}

/** What says nothing of the money; null where the answer does. */
function judgeUnanswered(answer: ProviderAnswer | Unanswered): Unanswered | null {
  if (answer.tag !== "answer") return answer;
  const isInUse = answer.status === 409 && errorOf(answer).code === "key_in_use";
  if (isInUse || answer.status === 429) return busy(answer, detailOf(answer));
  return isJudged(answer, [408]) ? null : { tag: "unknown", detail: detailOf(answer) };
}

const ErrorSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

function errorOf({ json }: ProviderAnswer): { code: string | null; message: string } {
  const read = ErrorSchema.safeParse(json);
  return read.success ? read.data.error : { code: null, message: "No reason was given" };
}

const detailOf = (answer: ProviderAnswer) => `The provider answered ${answer.status}: ${errorOf(answer).message}`;

function refusalOf(answer: ProviderAnswer | Unanswered): Failure {
  if (answer.tag !== "answer") return failureFrom({ code: "", message: answer.detail });
  const { code, message } = errorOf(answer);
  return failureFrom({ code: code ?? "", message });
}

/** The provider's words for failures, in the service's. */
const FAILURE_CODES: Readonly<Record<string, FailureCode>> = {
  declined: "card_declined",
  insufficient_funds: "insufficient_funds",
  card_expired: "expired_card",
  wrong_cvc: "incorrect_cvc",
  suspected_fraud: "fraud_suspected",
  processing_error: "processing_error",
  authentication_failed: "authentication_failed",
  refused_by_payer: "cancelled_by_payer",
  capture_failed: "capture_failed",
  no_such_payment_method: "invalid_payment_method",
};

function failureFrom({ code, message }: { code: string; message: string }, otherwise?: FailureCode): Failure {
  const known = Object.hasOwn(FAILURE_CODES, code) ? FAILURE_CODES[code] : undefined;
  return { code: otherwise ?? known ?? "provider_error", decline_code: code || null, message };
}

const amount = z.number().int().nonnegative();
const FailureSchema = z.object({ code: z.string(), message: z.string() }).nullable();
const Part = z.object({
  id: z.string(),
  amount,
  status: z.string(),
  failure: FailureSchema,
  metadata: z.object({ nonce: z.string().optional() }),
});
const PaymentSchema = z.object({
  id: z.string().min(1),
  status: z.string(),
  amount,
  currency: z.string(),
  capture: z.string(),
  captured_amount: amount,
  redirect_url: z.string().nullable(),
  failure: FailureSchema,
  captures: z.array(Part),
  refunds: z.array(Part),
  disputes: z.array(
    z.object({
      id: z.string(),
      amount,
      status: z.enum(["inquiry", "open", "won", "lost"]),
      reason: z.string().nullable(),
      evidence_due: z.number().int().nullable(),
    }),
  ),
});

const WithPaymentSchema = z.object({ payment: PaymentSchema });
const MadeSchema = PaymentSchema.pick({ id: true });

/** The provider's statuses in the service's words. Any other one is `processing`: never a success. */
const STATUSES: Readonly<Record<string, ProviderStatus>> = {
  unconfirmed: "open",
  requires_action: "requires_action",
  processing: "processing",
  authorized: "authorized",
  captured: "captured",
  declined: "failed",
  cancelled: "cancelled",
  expired: "expired",
};

/** The payment that an answer shows, by itself or in its field `payment`; null where it shows none, or another one. */
function snapshotIn(json: unknown, reference: string | null): Snapshot | null {
  const within = WithPaymentSchema.safeParse(json);
  const read = within.success ? { success: true as const, data: within.data.payment } : PaymentSchema.safeParse(json);
  if (!read.success || read.data.id !== reference) return null;
  const { id, status, captured_amount, redirect_url, failure, captures, refunds, disputes, ...payment } = read.data;
  return {
    reference: id,
    status: (Object.hasOwn(STATUSES, status) ? STATUSES[status] : undefined) ?? "processing",
    amountMinor: payment.amount,
    currency: payment.currency,
    capturedMinor: captured_amount,
    nextAction: redirect_url === null ? null : { type: "redirect", url: redirect_url },
    failure: failure && failureFrom(failure),
    // What is captured with its confirmation is no capture of its own.
    captures: payment.capture === "automatic" ? [] : captures.map((capture) => partOf(capture, "capture_failed")),
    refunds: refunds.map((refund) => ({ reference: refund.id, ...partOf(refund, "refund_failed") })),
    disputes: disputes.map((dispute) => ({
      reference: dispute.id,
      amountMinor: dispute.amount,
      state: dispute.status,
      reason: dispute.reason,
      dueAt: dispute.evidence_due,
    })),
  };
}

function partOf(
  { amount: amountMinor, status, failure, metadata }: z.output<typeof Part>,
  code: FailureCode,
): ProviderCapture {
  const state = status === "succeeded" || status === "failed" ? status : "pending";
  return { nonce: metadata.nonce ?? null, amountMinor, state, failure: failure && failureFrom(failure, code) };
}

const NotificationSchema = z.object({
  id: z.string().min(1),
  type: z.string(),
  payment: z.string().optional(),
  metadata: z.object({ payment_id: z.string().optional() }).optional(),
});

/** Reads a notification: `Sandbox-Signature: t=<seconds>,v1=<hex>` is an HMAC-SHA256 of the seconds, a point and the body. */
async function readNotification(
  { secrets }: Connection,
  { headers, body, now }: NotificationRequest,
): Promise<Notified> {
  const pairs = (headers.get("Sandbox-Signature") ?? "").split(",").map((pair) => pair.split("="));
  const valuesOf = (name: string) => pairs.flatMap(([key, value]) => (key === name && value ? [value] : []));
  const [time = ""] = valuesOf("t");
  const isRecent = /^\d{1,12}$/.test(time) && Math.abs(now - Number(time) * 1_000) <= MAX_NOTIFICATION_AGE_MS;
  if (!isRecent) return { tag: "unsigned" };
  const given = valuesOf("v1");
  // While the service's keys are rotated, there are several.
  const isSigned = await Promise.all(
    Object.values(secrets).map(async (secret) => {
      const expected = await hmacSha256(secret, `${time}.${body}`);
      return given.some((signature) => isEqual(signature, expected));
    }),
  );
  if (!isSigned.includes(true)) return { tag: "unsigned" };
  const read = NotificationSchema.safeParse(parse(body));
  if (!read.success) return { tag: "unsigned" };
  const { id, payment, metadata } = read.data;
  if (payment === undefined) return { tag: "ignored", id };
  const paymentId = Number(metadata?.payment_id);
  return { tag: "notified", id, reference: payment, paymentId: Number.isSafeInteger(paymentId) ? paymentId : null };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
