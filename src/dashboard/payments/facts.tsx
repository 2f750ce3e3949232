/** What a payment is: its amounts, its facts, its failure, its metadata. */
import type { PaymentResponse } from "../../payment/response";
import { FAILURES, type FailureCode } from "../../provider/failures";
import { Money, Time } from "../format";
import { AccountLink } from "../providers/explain";
import type { Visit } from "../visit";

interface PaymentProps {
  readonly visit: Visit;
  readonly payment: PaymentResponse;
}

/** What is left to capture: what is authorised and was not taken. */
export const capturable = ({ status, amount, amount_captured }: PaymentResponse): number =>
  status === "authorized" ? amount - amount_captured : 0;

/** The amounts of a payment, and what is left of them. */
export function Amounts({ visit, payment }: PaymentProps) {
  const tiles = [
    ["Captured", payment.amount_captured],
    ["Left to capture", capturable(payment)],
    ["Refunded", payment.amount_refunded],
    ["Left to refund", payment.amount_refundable],
  ] as const;
  return (
    <dl class="amounts card">
      {tiles.map(([name, amount]) => (
        <div class={amount === 0 ? "quiet-text" : undefined}>
          <dt>{name}</dt>
          <dd>
            <Money visit={visit} amount={amount} currency={payment.currency} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

const isFailureCode = (code: string): code is FailureCode => Object.hasOwn(FAILURES, code);

interface FailureProps {
  readonly failure: { readonly code: string; readonly decline_code: string | null; readonly message: string };
}

/** Why something has failed, for support: what happened, the provider's word for it, and what a customer is told. */
export function FailureWords({ failure }: FailureProps) {
  return (
    <>
      <p>
        <strong>{failure.message}</strong>
      </p>
      {isFailureCode(failure.code) && <p>Tell the customer: “{FAILURES[failure.code]}”</p>}
      <p class="hint">
        Code <code>{failure.code}</code>
        {failure.decline_code !== null && (
          <>
            , the provider's <code>{failure.decline_code}</code>
          </>
        )}
      </p>
    </>
  );
}

export function PaymentFailure({ payment: { failure } }: { payment: PaymentResponse }) {
  if (failure === null) return null;
  return (
    <section class="card failure" aria-label="Why it failed">
      <h2>Why it failed</h2>
      <FailureWords failure={failure} />
    </section>
  );
}

/** What the payer has still to do. */
export function NextAction({ payment: { next_action: next } }: { payment: PaymentResponse }) {
  if (next === null) return null;
  return (
    <section class="card" aria-label="What the payer does next">
      <h2>The payer has to act</h2>
      {next.type === "redirect" ? (
        <p>
          Send them to this page: <a href={next.url}>{next.url}</a>
        </p>
      ) : (
        <p>They go on in the provider's own script, in the page that shows it.</p>
      )}
    </section>
  );
}

export function Facts({ visit, payment }: PaymentProps) {
  const { order_id, reference, description, provider, provider_account, provider_reference, return_url, expires_at } =
    payment;
  return (
    <section class="card" aria-label="Facts">
      <h2>Facts</h2>
      <dl class="facts">
        <dt>Payment</dt>
        <dd>
          <code>{payment.id}</code>
        </dd>
        {order_id !== null && (
          <>
            <dt>Order</dt>
            <dd>
              <a href={`/dashboard/payments?order_id=${order_id}`}>{order_id}</a>
            </dd>
          </>
        )}
        {reference !== null && (
          <>
            <dt>Reference</dt>
            <dd>
              <a href={`/dashboard/payments?${new URLSearchParams({ reference })}`}>{reference}</a>
            </dd>
          </>
        )}
        <dt>Description</dt>
        <dd>{description ?? <span class="quiet-text">None</span>}</dd>
        <dt>Amount</dt>
        <dd>
          <Money visit={visit} amount={payment.amount} currency={payment.currency} /> {payment.currency}
        </dd>
        <dt>Created</dt>
        <dd>
          <Time visit={visit} at={payment.created_at} />
        </dd>
        <dt>Last change</dt>
        <dd>
          <Time visit={visit} at={payment.updated_at} />
        </dd>
        {expires_at !== null && (
          <>
            <dt>Ends if not completed</dt>
            <dd>
              <Time visit={visit} at={expires_at} />
            </dd>
          </>
        )}
        <dt>Provider</dt>
        <dd>{provider === "internal" ? "internal: settles at once" : provider}</dd>
        {provider_account !== null && (
          <>
            <dt>Provider account</dt>
            <dd>
              <AccountLink visit={visit} id={provider_account} />
            </dd>
          </>
        )}
        {provider_reference !== null && (
          <>
            <dt>At the provider</dt>
            <dd>
              <code>{provider_reference}</code>
            </dd>
          </>
        )}
        <dt>Capture</dt>
        <dd>{payment.capture_method}</dd>
        {payment.single && (
          <>
            <dt>Only one</dt>
            <dd>No other payment of this order or reference may be live or paid</dd>
          </>
        )}
        {return_url !== null && (
          <>
            <dt>The payer returns to</dt>
            <dd>{return_url}</dd>
          </>
        )}
      </dl>
    </section>
  );
}

export function Metadata({ payment: { metadata } }: { payment: PaymentResponse }) {
  const pairs = Object.entries(metadata);
  return (
    <section class="card" aria-label="Metadata">
      <h2>Metadata</h2>
      {pairs.length === 0 ? (
        <p class="hint">None. A shop puts pairs of its own here, to find the payment by.</p>
      ) : (
        <dl class="facts">
          {pairs.map(([name, value]) => (
            <>
              <dt>
                <code>{name}</code>
              </dt>
              <dd class="as-written">{value}</dd>
            </>
          ))}
        </dl>
      )}
    </section>
  );
}
