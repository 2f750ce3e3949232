/** How the sandbox's API shows what its ledger has. Times in milliseconds, amounts in minor units. */
import type { Dispute, Part, Refund, SandboxPayment } from "./ledger";
import { DECLINES, type Decline } from "./tokens";

export const failureOf = (code: Decline | null) => (code === null ? null : { code, message: DECLINES[code] });

const captureView = ({ id, amount, status, nonce, failure }: Part) => ({
  ...{ id, amount, status, failure: failureOf(failure) },
  metadata: nonceOf(nonce),
});

export const refundView = ({ id, amount, status, nonce, reason, failure }: Refund) => ({
  ...{ id, amount, status, reason, failure: failureOf(failure) },
  metadata: nonceOf(nonce),
});

const disputeView = ({ id, amount, status, reason, evidence_due }: Dispute) => ({
  ...{ id, amount, status, reason, evidence_due },
});

const nonceOf = (nonce: string | null) => (nonce === null ? {} : { nonce });

/** A payment with its captures, refunds and disputes, whole. */
export function paymentView(payment: SandboxPayment, pageUrl: (payment: string) => string) {
  const { id, created, amount, currency, capture, status, captured, metadata } = payment;
  return {
    ...{ id, created, amount, currency, capture, status, metadata },
    captured_amount: captured,
    redirect_url: status === "requires_action" ? pageUrl(id) : null,
    failure: failureOf(payment.failure),
    captures: payment.captures.map(captureView),
    refunds: payment.refunds.map(refundView),
    disputes: payment.disputes.map(disputeView),
  };
}
