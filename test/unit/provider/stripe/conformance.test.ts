/** The adapter of Stripe passes the suite that every adapter must pass. */
import Stripe from "stripe";
import { stripe } from "../../../../src/provider/stripe/stripe";
import { describeAdapter } from "../adapter-suite";
import { API_KEY, captured, error, intent, page, REFERENCE, refund, WEBHOOK_SECRET } from "./stripe-answers";

const ok = (body: object) => ({ status: 200, body });
const refused = (status: number, changes: object) => ({ status, body: error(changes) });
const declined = { type: "card_error", code: "card_declined", decline_code: "insufficient_funds", message: "why" };

describeAdapter("Stripe", {
  adapter: stripe,
  secrets: { api_key: API_KEY, webhook_secret: WEBHOOK_SECRET },
  reference: REFERENCE,
  prepared: ok(intent()),
  payments: {
    open: ok(intent()),
    requires_action: ok(
      intent({
        status: "requires_action",
        next_action: { type: "redirect_to_url", redirect_to_url: { url: "https://hooks.stripe.com/3ds" } },
      }),
    ),
    processing: ok(intent({ status: "processing" })),
    authorized: ok(intent({ status: "requires_capture", amount_capturable: 10_000 })),
    captured: ok(captured()),
    cancelled: ok(intent({ status: "canceled", cancellation_reason: "requested_by_customer" })),
    expired: ok(intent({ status: "canceled", cancellation_reason: "automatic" })),
  },
  declined: {
    status: 402,
    body: error({
      ...declined,
      payment_intent: intent({ status: "requires_payment_method", last_payment_error: declined }),
    }),
  },
  unheardOf: ok(intent({ status: "settling" })),
  refunded: (nonce) =>
    ok(captured({ amount_refunded: 4_000, refunds: page([refund({ metadata: nonce === null ? {} : { nonce } })]) })),
  foreign: ok({ ...captured(), id: "pi_2" }),
  notFound: refused(404, { code: "resource_missing", param: "intent" }),
  busy: [
    refused(429, { code: "rate_limit" }),
    refused(429, { code: "lock_timeout" }),
    refused(409, { type: "idempotency_error", code: "idempotency_key_in_use" }),
    refused(401, { message: "Invalid API Key provided: sk_test_********p7dc" }),
    refused(403, { message: "The provided key does not have the required permissions" }),
  ],
  refused: [
    refused(400, { code: "parameter_invalid_integer" }),
    refused(400, { type: "idempotency_error" }),
    refused(402, { type: "card_error", code: "card_declined" }),
    refused(422, {}),
  ],
  // A refund that is made is answered as a refund, of the payment.
  wordedFor: ({ method, url }, answer) =>
    method === "POST" && url.endsWith("/v1/refunds") && answer.status === 200 && isIntent(answer.body)
      ? ok(refund({ payment_intent: answer.body }))
      : answer,
  async notification(now) {
    const data = { object: intent() };
    const body = JSON.stringify({
      id: "evt_1",
      object: "event",
      type: "payment_intent.succeeded",
      livemode: false,
      data,
    });
    const timestamp = Math.floor(now / 1_000);
    const signature = Stripe.webhooks.generateTestHeaderString({ payload: body, secret: WEBHOOK_SECRET, timestamp });
    return { url: "https://pay.example/", headers: new Headers({ "Stripe-Signature": signature }), body, now };
  },
});

const isIntent = (body: unknown) => typeof body === "object" && body !== null && "amount_received" in body;
