/**
 * What each of the sandbox's payment tokens does: the one table from which its behaviour, the documents and the tests
 * derive. A token that says nothing of a matter behaves there as `test_ok`. Times in milliseconds of the sandbox's clock.
 */
import type { SandboxToken } from "../provider/sandbox-tokens";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** How long what does not happen at once takes. */
export const DELAY_MS = 3 * SECOND;
/** How long after its request a late one arrives. */
export const LATE_ARRIVAL_MS = 5 * SECOND;
/** How long an answer is held back that comes too late. */
export const SLOW_ANSWER_MS = 15 * SECOND;
/** How long queries lag. */
export const QUERY_LAG_MS = 10 * SECOND;
/** What a refused caller is asked to wait. */
export const RETRY_AFTER_MS = 2 * SECOND;

/** The sandbox's own words for why a payment was declined. */
export const DECLINES = {
  declined: "The bank declined the payment",
  insufficient_funds: "The account has not enough money",
  card_expired: "The card has expired",
  wrong_cvc: "The security code is wrong",
  suspected_fraud: "The bank suspects fraud",
  processing_error: "The bank could not process the payment",
  authentication_failed: "The bank did not recognise the payer",
  refused_by_payer: "The payer refused",
  capture_failed: "The bank did not pay out",
} as const;
export type Decline = keyof typeof DECLINES;

/**
 * What goes wrong between the sandbox and its caller, the first time that a confirmation, capture, cancellation or refund
 * comes under its key.
 */
export type Fault =
  | "lost_answer"
  | "lost_request"
  | "slow_answer"
  | "late_arrival"
  | "server_error"
  | "too_many_requests"
  | "hidden_at_first"
  | "key_forgotten"
  | "no_query";

export type Token = SandboxToken;

export interface Behaviour {
  readonly group: "outcome" | "action" | "delay" | "fault" | "notification" | "afterwards";
  /** For the documents. */
  readonly does: string;
  readonly decline?: Decline;
  /** The payer decides on the hosted page, so long. */
  readonly asksPayerForMs?: number;
  readonly decidesAfterMs?: number;
  readonly fault?: Fault;
  readonly notifies?: "twice" | "reordered" | "before_answer" | "never" | "bad_signature";
  readonly captures?: "fails" | "async";
  readonly lapsesAfterMs?: number;
  readonly refunds?: "pending" | "fails" | "fails_later";
  readonly dispute?: "lost" | "won" | "inquiry";
  readonly isPaidAfterItsEnd?: boolean;
  readonly isRefundedInDashboard?: boolean;
}

export const TOKENS: Readonly<Record<Token, Behaviour>> = {
  test_ok: { group: "outcome", does: "Succeeds at once" },
  test_declined: { group: "outcome", does: "Is declined", decline: "declined" },
  test_insufficient_funds: { group: "outcome", does: "Is declined for lack of money", decline: "insufficient_funds" },
  test_expired_card: { group: "outcome", does: "Is declined: the card has expired", decline: "card_expired" },
  test_wrong_cvc: { group: "outcome", does: "Is declined for its security code", decline: "wrong_cvc" },
  test_fraud: { group: "outcome", does: "Is declined as suspected fraud", decline: "suspected_fraud" },
  test_processing_error: {
    group: "outcome",
    does: "Is declined: the bank could not process it",
    decline: "processing_error",
  },

  test_action_ok: {
    group: "action",
    does: "Asks the payer on the hosted page, for 24 hours: Pay succeeds, Refuse fails",
    asksPayerForMs: 24 * HOUR,
  },
  test_action_failed: {
    group: "action",
    does: "Asks the payer on the hosted page, for 24 hours; the bank does not recognise who presses Pay",
    asksPayerForMs: 24 * HOUR,
    decline: "authentication_failed",
  },
  test_action_abandoned: {
    group: "action",
    does: "Asks the payer, who has 5 minutes; it expires when nobody presses a button",
    asksPayerForMs: 5 * MINUTE,
  },

  test_delayed_ok: { group: "delay", does: "Is processing, and succeeds after 3 seconds", decidesAfterMs: DELAY_MS },
  test_delayed_failed: {
    group: "delay",
    does: "Is processing, and is declined after 3 seconds",
    decidesAfterMs: DELAY_MS,
    decline: "declined",
  },

  test_lost_answer: { group: "fault", does: "Is done; the connection ends without an answer", fault: "lost_answer" },
  test_lost_request: { group: "fault", does: "Is not done; the connection ends", fault: "lost_request" },
  test_timeout: {
    group: "fault",
    does: "Is done; the answer takes 15 seconds, in which its key is in use",
    fault: "slow_answer",
  },
  test_late_arrival: {
    group: "fault",
    does: "The connection ends, and the request arrives 5 seconds later all the same",
    fault: "late_arrival",
  },
  test_500_then_ok: {
    group: "fault",
    does: "Is not done, with a 500; the same key then does it",
    fault: "server_error",
  },
  test_429: {
    group: "fault",
    does: "Is not done, with a 429 that asks for 2 seconds; the same key then does it",
    fault: "too_many_requests",
  },
  test_not_found_at_first: {
    group: "fault",
    does: "Is done; the connection ends, and for 10 seconds queries do not find the payment",
    fault: "hidden_at_first",
  },
  test_key_forgotten: {
    group: "fault",
    does: "Is done; the connection ends, and the key is forgotten at once",
    fault: "key_forgotten",
  },
  test_no_query: {
    group: "fault",
    does: "Is done; the connection ends, and queries of the payment are answered 501",
    fault: "no_query",
  },

  test_notified_twice: {
    group: "notification",
    does: "Succeeds after 3 seconds; each notification comes twice, under one id",
    decidesAfterMs: DELAY_MS,
    notifies: "twice",
  },
  test_notified_reordered: {
    group: "notification",
    does: "Succeeds after 3 seconds; the notification of that comes before the first one",
    decidesAfterMs: DELAY_MS,
    notifies: "reordered",
  },
  test_notified_before_answer: {
    group: "notification",
    does: "Succeeds; the notification is delivered before the answer",
    notifies: "before_answer",
  },
  test_notified_never: {
    group: "notification",
    does: "Succeeds after 3 seconds; no notification comes",
    decidesAfterMs: DELAY_MS,
    notifies: "never",
  },
  test_notified_bad_signature: {
    group: "notification",
    does: "Succeeds after 3 seconds; notifications have a wrong signature",
    decidesAfterMs: DELAY_MS,
    notifies: "bad_signature",
  },

  test_capture_fails: { group: "afterwards", does: "Is authorised; its capture fails", captures: "fails" },
  test_capture_async: {
    group: "afterwards",
    does: "Is authorised; a capture is pending for 3 seconds, then succeeds",
    captures: "async",
  },
  test_authorization_lapses: {
    group: "afterwards",
    does: "With manual capture, the authorisation lapses after 5 seconds",
    lapsesAfterMs: 5 * SECOND,
  },
  test_refund_pending: {
    group: "afterwards",
    does: "Succeeds; a refund is pending for 3 seconds, then succeeds",
    refunds: "pending",
  },
  test_refund_fails: { group: "afterwards", does: "Succeeds; a refund fails at once", refunds: "fails" },
  test_refund_fails_later: {
    group: "afterwards",
    does: "Succeeds; a refund succeeds, and fails 3 seconds later: its money comes back",
    refunds: "fails_later",
  },
  test_dispute_lost: {
    group: "afterwards",
    does: "Succeeds; 3 seconds after the capture a dispute is opened, and lost 3 seconds later",
    dispute: "lost",
  },
  test_dispute_won: {
    group: "afterwards",
    does: "Succeeds; 3 seconds after the capture a dispute is opened, and won 3 seconds later",
    dispute: "won",
  },
  test_dispute_inquiry: {
    group: "afterwards",
    does: "Succeeds; 3 seconds after the capture the bank inquires, and closes that 3 seconds later",
    dispute: "inquiry",
  },
  test_paid_after_expiry: {
    group: "afterwards",
    does: "Asks the payer for 5 minutes; 3 seconds after it was cancelled or has expired, the payer pays",
    asksPayerForMs: 5 * MINUTE,
    isPaidAfterItsEnd: true,
  },
  test_refunded_in_dashboard: {
    group: "afterwards",
    does: "Succeeds; 3 seconds after the capture, somebody refunds half of it in the dashboard",
    isRefundedInDashboard: true,
  },
};
