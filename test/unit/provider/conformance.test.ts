/** The sandbox's adapter passes the suite that every adapter must pass. */
import { sandbox } from "../../../src/provider/sandbox";
import { signatureOf } from "../../../src/sandbox/notifications";
import { describeAdapter } from "./adapter-suite";

const at = (status: string, changes: object = {}) => ({
  ...{
    id: "spay_1",
    amount: 10_000,
    currency: "EUR",
    capture: "automatic",
    status,
    captured_amount: 0,
    redirect_url: null,
  },
  ...{ failure: null, captures: [], refunds: [], disputes: [], ...changes },
});
const ok = (body: object) => ({ status: 200, body });
const error = (status: number, code: string, payment?: object) => ({
  status,
  body: { error: { code, message: "why" }, ...(payment && { payment }) },
});

describeAdapter("the sandbox", {
  adapter: sandbox,
  secrets: { notifications_0: "secret" },
  reference: "spay_1",
  prepared: { status: 201, body: at("unconfirmed") },
  payments: {
    open: ok(at("unconfirmed")),
    requires_action: ok(at("requires_action", { redirect_url: "https://pay.example/spay_1" })),
    processing: ok(at("processing")),
    authorized: ok(at("authorized")),
    captured: ok(at("captured", { captured_amount: 10_000 })),
    cancelled: ok(at("cancelled")),
    expired: ok(at("expired")),
  },
  declined: error(
    402,
    "insufficient_funds",
    at("declined", { failure: { code: "insufficient_funds", message: "why" } }),
  ),
  unheardOf: ok(at("settling")),
  refunded: (nonce) => {
    const refund = { id: "sref_1", amount: 4_000, status: "succeeded", failure: null };
    return ok(
      at("captured", { captured_amount: 10_000, refunds: [{ ...refund, metadata: nonce === null ? {} : { nonce } }] }),
    );
  },
  foreign: ok(at("captured", { id: "spay_2", captured_amount: 10_000 })),
  notFound: error(404, "no_such_payment"),
  busy: [error(429, "too_many_requests"), error(409, "key_in_use")],
  refused: [error(400, "invalid_request"), error(422, "amount_too_large"), error(409, "wrong_state")],
  async notification(now) {
    const body = JSON.stringify({ id: "snot_1", type: "payment.updated", payment: "spay_1" });
    return {
      url: "https://pay.example/",
      headers: new Headers({ "Sandbox-Signature": await signatureOf("secret", body, now) }),
      body,
      now,
    };
  },
});
