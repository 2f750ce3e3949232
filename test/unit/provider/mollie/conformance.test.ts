/** The adapter of Mollie passes the suite that every adapter must pass. */
import { mollie } from "../../../../src/provider/mollie/mollie";
import { type Answer, describeAdapter } from "../adapter-suite";
import { API_KEY, authorized, capture, closed, ok, paid, payment, REFERENCE, refund, refused } from "./mollie-answers";

/** HMAC-SHA256 of `account|5` under `secret`, which another program made. */
const MAC = "a7a769a7284f7908462a47e329d78122a7f8f89fc9189441009ddedb7a65130a";
const URL_OF_PAYMENT = `https://pay.example/api/v1/provider-notifications/account?payment=5&mac=${MAC}`;

const isPayment = ({ status, body }: Answer) =>
  status === 200 && typeof body === "object" && body !== null && "resource" in body && body.resource === "payment";

describeAdapter("Mollie", {
  adapter: mollie,
  secrets: { api_key: API_KEY, notifications_0: "secret" },
  reference: REFERENCE,
  prepared: ok(payment(), 201),
  payments: {
    requires_action: ok(payment()),
    processing: ok(closed("pending")),
    authorized: ok(authorized()),
    captured: ok(paid()),
    cancelled: ok(closed("canceled")),
    expired: ok(closed("expired")),
  },
  // The payer confirms it on Mollie's page.
  asking: ["authorize"],
  before: { cancel: ok(payment({ isCancelable: true })) },
  declined: ok(closed("failed", { details: { failureReason: "insufficient_funds", failureMessage: "why" } })),
  unheardOf: ok(closed("settling")),
  refunded: (nonce) =>
    ok(paid({ _embedded: { refunds: [refund({ metadata: nonce === null ? null : { nonce } })], captures: [] } })),
  foreign: ok(paid({ id: "tr_2" })),
  notFound: refused(404),
  busy: [refused(429), refused(409), refused(401), refused(403)],
  refused: [refused(400), refused(422), refused(422, "The amount is higher than the maximum", "amount")],
  wordedFor: ({ method, url }, answer) => {
    // What was refused was asked of a payment that there is.
    if (method === "GET") return [400, 422].includes(answer.status) ? ok(payment({ isCancelable: true })) : answer;
    if (!isPayment(answer)) return answer;
    if (url.endsWith("/refunds")) return ok(refund({ status: "pending" }), 201);
    return url.endsWith("/captures") ? ok(capture({ status: "pending" }), 201) : answer;
  },
  notification: async (now) => ({
    ...{ url: URL_OF_PAYMENT, headers: new Headers(), body: `id=${REFERENCE}`, now },
  }),
  // Nothing but the URL is authenticated: whatever the body says, the payment of the URL is looked at.
  forgeries: (genuine) => [
    { ...genuine, url: URL_OF_PAYMENT.replace("payment=5", "payment=6") },
    { ...genuine, url: URL_OF_PAYMENT.replace(/&mac=.*/, "") },
    { ...genuine, url: `${URL_OF_PAYMENT}0` },
    { ...genuine, body: "" },
    { ...genuine, body: `${genuine.body} ` },
  ],
});
