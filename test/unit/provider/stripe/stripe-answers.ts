/** What Stripe answers, of the payment that the tests are about: 100.00 EUR. */
import type Stripe from "stripe";
import type {
  Connection,
  OperationKind,
  OperationRequest,
  ProviderOperation,
  ProviderPayment,
} from "../../../../src/provider/seam";

export const REFERENCE = "pi_3Nirh62eZvKYlo2C0Dg1WX1w";
export const API_KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
export const WEBHOOK_SECRET = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";
export const CLIENT_SECRET = `${REFERENCE}_secret_Dm43xiq1k0ywrRRjDoi8y1gkM`;

type Parts<T> = { readonly [name in keyof T]?: unknown };

/** A PaymentIntent as it is after its creation, to be confirmed from here. */
export const intent = (changes: Parts<Stripe.PaymentIntent> = {}) => ({
  ...{ id: REFERENCE, object: "payment_intent", amount: 10_000, amount_capturable: 0, amount_received: 0 },
  ...{ currency: "eur", status: "requires_confirmation", capture_method: "automatic", created: 1_795_000_000 },
  ...{ client_secret: CLIENT_SECRET, cancellation_reason: null, next_action: null, last_payment_error: null },
  ...{ latest_charge: null, livemode: false, description: null, payment_method: "pm_1" },
  metadata: { payment_id: "5", merchant_id: "1", nonce: "nonce-0", confirmation: "server" },
  ...changes,
});

/** The charge of a payment that was captured whole. */
export const charge = (changes: Parts<Stripe.Charge> = {}) => ({
  ...{ id: "ch_1", object: "charge", amount: 10_000, amount_captured: 10_000, amount_refunded: 0, currency: "eur" },
  ...{ disputed: false, payment_intent: REFERENCE, refunds: page([]) },
  ...changes,
});

export const refund = (changes: Parts<Stripe.Refund> = {}) => ({
  ...{ id: "re_1", object: "refund", amount: 4_000, currency: "eur", created: 1_795_000_100, status: "succeeded" },
  ...{ payment_intent: REFERENCE, reason: null, metadata: {} },
  ...changes,
});

export const dispute = (changes: Parts<Stripe.Dispute> = {}) => ({
  ...{ id: "dp_1", object: "dispute", amount: 10_000, currency: "eur", created: 1_795_000_200, metadata: {} },
  ...{ status: "needs_response", reason: "fraudulent", evidence_details: { due_by: 1_796_000_000 } },
  payment_intent: REFERENCE,
  ...changes,
});

export const page = (data: readonly object[], has_more = false) => ({ object: "list", data, has_more, url: "/v1/" });

export const captured = (changes: Parts<Stripe.Charge> = {}) =>
  intent({ status: "succeeded", amount_received: 10_000, latest_charge: charge(changes) });

export const error = (changes: object = {}) => ({
  error: { type: "invalid_request_error", message: "why", ...changes },
});

export interface Answer {
  readonly status?: number;
  /** Text as it is, anything else as JSON. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request as it was sent: the path without its query, and the fields of the query or the body. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly key: string | null;
  readonly fields: Readonly<Record<string, string>>;
  readonly headers: Headers;
  readonly redirect: string;
}

/** An account whose requests are answered with these, one after the other, and with the last one from then on. */
export function account(...answers: readonly Answer[]) {
  const asked: Asked[] = [];
  const connection: Connection = {
    ...{ accountId: "stripe_1", merchantId: 1, apiOrigin: "https://api.stripe.example" },
    secrets: { api_key: API_KEY, webhook_secret: WEBHOOK_SECRET },
    fetch: async (request) => {
      const { origin, pathname, searchParams } = new URL(request.url);
      if (origin !== "https://api.stripe.example") throw new Error(`Asked ${origin}`);
      const { method, headers, redirect } = request;
      const fields = Object.fromEntries([...searchParams, ...new URLSearchParams(await request.text())]);
      const { status = 200, body, headers: said } = answers[asked.length] ?? answers.at(-1) ?? { body: {} };
      asked.push({ method, path: pathname, key: headers.get("Idempotency-Key"), fields, headers, redirect });
      return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers: said });
    },
  };
  return { connection, asked };
}

export const operation = (
  kind: OperationKind,
  request: OperationRequest = { paymentMethod: "pm_1" },
  payment: Partial<ProviderPayment> = {},
): ProviderOperation => ({
  ...{ kind, amountMinor: 4_000, nonce: "nonce-1", request },
  payment: {
    ...{ id: 5, merchantId: 1, amountMinor: 10_000, currency: "EUR", captureMethod: "automatic", reference: REFERENCE },
    ...payment,
  },
});
