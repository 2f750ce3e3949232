/**
 * Payments at localstripe, which behaves as Stripe does and was written by somebody else. It has no idempotency keys and no sums: nothing
 * but what the adapter and the reducer make of its answers keeps our amounts its own.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { NotificationRequest } from "../../src/provider/seam";
import { stripe } from "../../src/provider/stripe/stripe";
import { type Mock, startLocalstripe } from "./mocks";
import { type Asked, aPayment, withScheduler } from "./payment";
import { bankAccount, call, card, connectionTo, WEBHOOK_SECRET } from "./stripe";

let mock: Mock;
beforeAll(async () => {
  mock = await startLocalstripe();
});
afterAll(() => mock?.stop());
beforeEach(withScheduler);
afterEach(() => vi.unstubAllGlobals());

const VISA = "pm_card_visa";
const visa = { paymentMethod: VISA, returnUrl: "https://shop.example/", description: "Order 42" };
const at = (asked: Asked = {}) => aPayment(stripe, connectionTo(mock), { request: visa, ...asked });

/** What the provider holds of a payment: captured, and given back, in its own words. */
async function ledger(reference: string | null) {
  const { json } = await call(mock, `/v1/payment_intents/${reference}`);
  const charges = await call(mock, "/v1/charges?limit=100");
  // Asked for the refunds of what was never charged, localstripe fails.
  const isCharged = json.latest_charge !== null;
  const refunds = isCharged ? await call(mock, `/v1/refunds?payment_intent=${reference}&limit=1000`) : { json: {} };
  const ofPayment = (entries: unknown): Record<string, unknown>[] =>
    Array.isArray(entries) ? entries.filter((entry) => entry.payment_intent === reference) : [];
  return {
    status: json.status,
    received: json.amount_received,
    charges: ofPayment(charges.json.data).length,
    refunded: ofPayment(Object(refunds.json).data).map(({ amount }) => Number(amount)),
  };
}

describe("a payment that is captured with its confirmation", () => {
  it("is made without anything moving, and confirmed once", async () => {
    const { prepare, run, view, ask, events } = at();
    await prepare();
    expect(await ledger(view().providerReference)).toMatchObject({ status: "requires_confirmation", charges: 0 });
    expect(await ask()).toMatchObject({ status: "pending", operations: [] });
    const { performed } = await run("authorize");
    expect(performed).toMatchObject({ tag: "answered", snapshot: { status: "captured", capturedMinor: 10_000 } });
    expect(view()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
    expect(await ledger(view().providerReference)).toMatchObject({ status: "succeeded", received: 10_000, charges: 1 });
    expect(events).toEqual(["payment.confirmed"]);
  });

  it("is not charged again when its confirmation comes twice, and says what it is", async () => {
    const { run, view } = at();
    const { again } = await run("authorize");
    // Without keys and without a word for the state: the payment is asked.
    expect(await again()).toMatchObject({ tag: "answered", snapshot: { status: "captured" } });
    expect(view()).toMatchObject({ status: "confirmed", items: [] });
    expect(await ledger(view().providerReference)).toMatchObject({ charges: 1 });
  });

  it.each([
    ["EUR", 10_000, 10_000],
    ["JPY", 500, 500],
    ["ISK", 500, 50_000],
    ["UGX", 3_000, 300_000],
    ["MGA", 250_000, 2_500],
    ["KWD", 12_340, 12_340],
  ])("moves %s %i as Stripe writes it", async (currency, amountMinor, amount) => {
    const { run, view } = at({ currency, amountMinor });
    await run("authorize");
    expect(view()).toMatchObject({ status: "confirmed", capturedMinor: amountMinor, items: [] });
    expect(await ledger(view().providerReference)).toMatchObject({ received: amount });
  });

  it("is declined in a word of ours, for good, and not charged", async () => {
    const { run, view, ask, events } = at({ request: { ...visa, paymentMethod: "pm_card_chargeCustomerFail" } });
    const { again } = await run("authorize");
    const failure = { code: "card_declined", decline_code: "card_declined", message: "Your card was declined." };
    expect(view()).toMatchObject({ status: "failed", failure, operations: [{ state: "declined" }] });
    await again();
    expect(await ask()).toMatchObject({ status: "failed", failure, capturedMinor: 0, items: [] });
    expect(await ledger(view().providerReference)).toMatchObject({ received: 0 });
    expect(events).toEqual(["payment.failed"]);
  });

  it("is refused with a means of payment that there is not, and nothing is made", async () => {
    const { run } = at({ request: { ...visa, paymentMethod: "pm_nobody" } });
    await expect(run("authorize")).rejects.toThrow("refused");
  });

  it("is processing while a bank takes its time, and fails later", async () => {
    const paymentMethod = await bankAccount(mock, "DE62370400440532013001");
    const { run, view, ask, events } = at({ request: { ...visa, paymentMethod } });
    await run("authorize");
    expect(view()).toMatchObject({ status: "processing", operations: [{ state: "pending" }] });
    const failed = { status: "failed", failure: { code: "card_declined" }, items: [] };
    await vi.waitFor(async () => expect(await ask()).toMatchObject(failed), { timeout: 20_000 });
    expect(events).toEqual(["payment.processing", "payment.failed"]);
  });
});

describe("a payment whose payer is asked by the bank (3-D Secure)", () => {
  async function waiting(number = "4000002500003155") {
    const payment = at({ request: { ...visa, paymentMethod: await card(mock, number) } });
    await payment.run("authorize");
    expect(payment.view()).toMatchObject({ status: "requires_action", nextAction: { type: "client" } });
    const clientSecret = payment.last()?.clientSecret ?? "";
    const authenticate = (success: boolean) =>
      call(mock, `/v1/payment_intents/${payment.view().providerReference}/_authenticate`, {
        ...{ client_secret: clientSecret, success: String(success) },
      });
    return { ...payment, clientSecret, authenticate };
  }

  it("goes on in Stripe's script with the payment's secret, and is confirmed", async () => {
    const { clientSecret, authenticate, ask, view, events } = await waiting();
    expect(clientSecret).toContain(`${view().providerReference}_secret_`);
    expect((await authenticate(true)).status).toBe(200);
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, nextAction: null, items: [] });
    expect(events).toEqual(["payment.requires_action", "payment.confirmed"]);
  });

  it("fails where the payer does not authenticate", async () => {
    const { authenticate, ask } = await waiting();
    await authenticate(false);
    expect(await ask()).toMatchObject({ status: "failed", failure: { code: "authentication_failed" } });
  });

  it("is declined after the payer has authenticated", async () => {
    const { authenticate, ask, view } = await waiting("4000008400001629");
    expect((await authenticate(true)).status).toBe(402);
    expect(await ask()).toMatchObject({ status: "failed", failure: { code: "card_declined" } });
    expect(await ledger(view().providerReference)).toMatchObject({ received: 0 });
  });

  it("is cancelled while the payer is asked, and cannot be completed then", async () => {
    const { run, view, authenticate, ask } = await waiting();
    await run("cancel", 0, { reason: "abandoned" });
    expect(view()).toMatchObject({ status: "cancelled" });
    expect((await authenticate(true)).status).toBe(400);
    expect(await ask()).toMatchObject({ status: "cancelled", items: [] });
  });
});

describe("a payment that the payer's browser confirms", () => {
  /** What Stripe's script does with the client secret. */
  const pay = async (reference: string | null, paymentMethod: string) => {
    await call(mock, `/v1/payment_intents/${reference}`, { payment_method: paymentMethod });
    return call(mock, `/v1/payment_intents/${reference}/confirm`, {});
  };

  it("waits for it with its secret, and is confirmed when it has", async () => {
    const { run, view, ask, last } = at({ request: { description: "Order 42" } });
    const { performed, again } = await run("authorize");
    expect(performed).toMatchObject({ snapshot: { status: "requires_action", nextAction: { type: "client" } } });
    expect(last()?.clientSecret).toContain("_secret_");
    expect(await again()).toEqual(performed);
    expect(await ledger(view().providerReference)).toMatchObject({ status: "requires_payment_method", charges: 0 });
    await pay(view().providerReference, VISA);
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, nextAction: null, items: [] });
  });

  it("still waits for its payer after a decline", async () => {
    const { run, view, ask, events } = at({ request: {} });
    await run("authorize");
    expect((await pay(view().providerReference, "pm_card_chargeCustomerFail")).status).toBe(402);
    expect(await ask()).toMatchObject({ status: "requires_action", failure: null });
    // localstripe confirms no second time: what it has charged is not what is asked for here.
    expect(events).toEqual(["payment.requires_action"]);
  });

  it("is cancelled when nobody does, and then nobody can", async () => {
    const { run, view, ask } = at({ request: {} });
    await run("authorize");
    await run("cancel", 0);
    expect(view()).toMatchObject({ status: "cancelled" });
    expect((await pay(view().providerReference, VISA)).status).toBe(400);
    expect(await ask()).toMatchObject({ status: "cancelled", items: [] });
  });
});

describe("a payment that is captured later", () => {
  const authorized = async () => {
    const payment = at({ captureMethod: "manual" });
    await payment.run("authorize");
    expect(payment.view()).toMatchObject({ status: "authorized", capturedMinor: 0 });
    return payment;
  };

  it("is captured whole", async () => {
    const { run, view, ask } = await authorized();
    await run("capture");
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
    expect(await ledger(view().providerReference)).toMatchObject({ received: 10_000, refunded: [] });
  });

  it("is captured in part, and what that releases is no refund", async () => {
    const { run, view, ask, events } = await authorized();
    await run("capture", 4_000);
    // The mock lists the rest as a refund, as Stripe does.
    expect(await call(mock, `/v1/refunds?payment_intent=${view().providerReference}`)).toMatchObject({
      json: { data: [{ amount: 6_000 }] },
    });
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 4_000, refundedMinor: 0, items: [] });
    await run("refund", 1_500);
    await run("refund", 2_500);
    expect(await ask()).toMatchObject({ status: "refunded", capturedMinor: 4_000, refundedMinor: 4_000, items: [] });
    expect(events).toEqual(["payment.authorized", "payment.confirmed", "refund.succeeded", "payment.refunded"]);
  });

  it("is captured once when its capture comes twice", async () => {
    const { run, view } = await authorized();
    const { again } = await run("capture", 4_000);
    expect(await again()).toMatchObject({ tag: "answered", snapshot: { status: "captured", capturedMinor: 4_000 } });
    expect(view()).toMatchObject({ status: "confirmed", capturedMinor: 4_000, items: [] });
  });

  it("is released by a cancellation, which a second one leaves as it is", async () => {
    const { run, view, ask } = await authorized();
    const { again } = await run("cancel", 0, { reason: "requested_by_customer" });
    expect(view()).toMatchObject({ status: "cancelled", operations: [{}, { state: "succeeded" }] });
    expect(await again()).toMatchObject({ tag: "answered", snapshot: { status: "cancelled" } });
    expect(await ask()).toMatchObject({ status: "cancelled", capturedMinor: 0, items: [] });
  });

  it("that was captured cannot be cancelled", async () => {
    const { run, view } = await authorized();
    await run("capture");
    expect((await run("cancel", 0)).performed).toMatchObject({ tag: "refused", snapshot: { status: "captured" } });
    expect(view()).toMatchObject({ status: "confirmed", operations: [{}, {}, { state: "failed" }] });
  });

  it("is confirmed with what somebody captured in the dashboard", async () => {
    const { view, ask } = await authorized();
    await call(mock, `/v1/payment_intents/${view().providerReference}/capture`, { amount_to_capture: "7000" });
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 7_000, refundedMinor: 0, items: [] });
  });
});

describe("refunds", () => {
  const paid = async () => {
    const payment = at();
    await payment.run("authorize");
    return payment;
  };

  it("of parts, and of the rest, each under its operation", async () => {
    const { run, view, events } = await paid();
    const { performed } = await run("refund", 3_000, { reason: "requested_by_customer" });
    expect(performed).toMatchObject({
      snapshot: { refunds: [{ nonce: view().operations[1]?.nonce, amountMinor: 3_000, state: "succeeded" }] },
    });
    expect(view()).toMatchObject({ status: "confirmed", refundedMinor: 3_000 });
    await run("refund", 7_000, { reason: "it was broken" });
    expect(view()).toMatchObject({ status: "refunded", refundedMinor: 10_000, items: [] });
    expect((await ledger(view().providerReference)).refunded.sort()).toEqual([3_000, 7_000]);
    expect(events).toEqual(["payment.confirmed", "refund.succeeded", "payment.refunded"]);
  });

  it("made in the dashboard are adopted", async () => {
    const { run, view, ask, payment } = await paid();
    await call(mock, "/v1/refunds", { payment_intent: view().providerReference ?? "", amount: "2000" });
    await run("refund", 1_000);
    expect(await ask()).toMatchObject({ status: "confirmed", refundedMinor: 3_000, items: [] });
    expect(view().operations.filter(({ kind }) => kind === "refund")).toMatchObject([
      { source: "request", amountMinor: 1_000, state: "succeeded" },
      { source: "provider", amountMinor: 2_000, state: "succeeded" },
    ]);
    expect(payment().reference).toBe(view().providerReference);
  });

  it("are all seen, however many there are", async () => {
    const { view, ask } = await paid();
    const fields = { payment_intent: view().providerReference ?? "", amount: "10" };
    for (let refunds = 0; refunds < 230; refunds++) await call(mock, "/v1/refunds", fields);
    expect(await ask()).toMatchObject({ status: "confirmed", refundedMinor: 2_300, items: [] });
  });

  it("whose answers were lost are found by their nonce, not made again", async () => {
    const { run, view, ask, unsettled } = await paid();
    const lossy = connectionTo(mock, {
      fetch: async (request) => {
        await fetch(request);
        throw new Error("lost");
      },
    });
    const { performed } = await run("refund", 4_000, {}, lossy);
    expect(performed).toMatchObject({ tag: "unknown" });
    expect(unsettled()).toHaveLength(1);
    expect(await ask()).toMatchObject({ refundedMinor: 4_000, items: [] });
    expect(unsettled()).toHaveLength(0);
    expect((await ledger(view().providerReference)).refunded).toEqual([4_000]);
  });

  it("of more than was captured are an item: this provider knows no sums", async () => {
    const { view, ask } = await paid();
    for (const amount of ["8000", "7000"]) {
      await call(mock, "/v1/refunds", { payment_intent: view().providerReference ?? "", amount });
    }
    expect(await ask()).toMatchObject({
      status: "refunded",
      refundedMinor: 10_000,
      items: [{ kind: "over_refunded" }],
    });
  });
});

describe("lost answers", () => {
  const lossy = (loses: (request: Request) => boolean) =>
    connectionTo(mock, {
      fetch: async (request) => {
        const isLost = loses(request);
        const response = await fetch(request);
        if (isLost) throw new Error("lost");
        return response;
      },
    });

  it("of a confirmation are found by asking, and it is charged once", async () => {
    const { run, view, ask, unsettled } = at();
    const { performed } = await run(
      "authorize",
      10_000,
      {},
      lossy(({ url }) => url.endsWith("/confirm")),
    );
    expect(performed).toMatchObject({ tag: "unknown" });
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
    expect(unsettled()).toEqual([]);
    expect(await ledger(view().providerReference)).toMatchObject({ charges: 1 });
  });

  it("of a capture and a cancellation, likewise", async () => {
    for (const [kind, end] of [
      ["capture", "confirmed"],
      ["cancel", "cancelled"],
    ] as const) {
      const { run, ask, unsettled } = at({ captureMethod: "manual" });
      await run("authorize");
      const { performed } = await run(
        kind,
        10_000,
        {},
        lossy(({ method }) => method === "POST"),
      );
      expect(performed).toMatchObject({ tag: "unknown" });
      expect(await ask()).toMatchObject({ status: end, items: [] });
      expect(unsettled()).toEqual([]);
    }
  });
});

describe("an account", () => {
  it("whose key is unknown moves nothing, and says nothing of it", async () => {
    const revoked = connectionTo(mock, { secrets: { api_key: "pk_test_1" } });
    const { run, view } = at();
    const { performed } = await run("authorize", 10_000, {}, revoked).catch((error: Error) => ({ performed: error }));
    expect(String(performed)).toContain("busy");
    expect(String(performed)).not.toContain("pk_test_1");
    expect(view()).toMatchObject({ status: "pending", providerReference: null });
    expect(await stripe.checkCredentials(revoked)).toMatchObject({ tag: "rejected" });
  });

  it("finds whose payment a reference is", async () => {
    const payment = at({ id: 4_711 });
    await payment.prepare();
    const reference = payment.view().providerReference ?? "";
    const connection = connectionTo(mock);
    expect(await stripe.locate(connection, reference)).toEqual({ tag: "located", paymentId: 4_711 });
    const others = connectionTo(mock, { merchantId: 2 });
    expect(await stripe.locate(others, reference)).toEqual({ tag: "located", paymentId: null });
    const { json } = await call(mock, "/v1/payment_intents", { amount: "100", currency: "eur" });
    expect(await stripe.locate(connection, String(json.id))).toEqual({ tag: "located", paymentId: null });
    expect(await stripe.locate(connection, "pi_nobody")).toEqual({ tag: "not_found" });
  });
});

describe("notifications", () => {
  it("that it signs and sends are read, and lead to their payment", async () => {
    const received: NotificationRequest[] = [];
    const receiver = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part);
      const headers = new Headers(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
      received.push({ url: "https://pay.example/", headers, body: Buffer.concat(parts).toString(), now: Date.now() });
      response.end();
    });
    receiver.listen(0, "127.0.0.1");
    await once(receiver, "listening");
    const { port }: AddressInfo = Object(receiver.address());
    const registered = await call(mock, "/_config/webhooks/service", {
      ...{ url: `http://127.0.0.1:${port}/`, secret: WEBHOOK_SECRET },
    });
    expect(registered.status).toBe(200);
    try {
      const { run, view, id } = at();
      await run("authorize");
      const mine = () => received.find(({ body }) => body.includes(view().providerReference ?? "nothing"));
      await vi.waitFor(() => expect(mine()).toBeDefined(), { timeout: 20_000 });
      const notification = mine();
      if (notification === undefined) throw new Error("Nothing was received");
      const read = (changes: Partial<NotificationRequest> = {}, secret = WEBHOOK_SECRET) => {
        const { secrets } = connectionTo(mock);
        const connection = connectionTo(mock, { secrets: { ...secrets, webhook_secret: secret } });
        return stripe.readNotification(connection, { ...notification, ...changes });
      };
      expect(await read()).toEqual({
        ...{ tag: "notified", id: expect.stringMatching(/^evt_/), reference: view().providerReference, paymentId: id },
      });
      expect(await read({}, `whsec_older,${WEBHOOK_SECRET}`)).toMatchObject({ tag: "notified" });
      expect(await read({}, "whsec_another")).toEqual({ tag: "unsigned" });
      expect(await read({ body: notification.body.replace("10000", "10001") })).toEqual({ tag: "unsigned" });
      expect(await read({ now: notification.now + 6 * 60_000 })).toEqual({ tag: "unsigned" });
    } finally {
      receiver.close();
    }
  });
});
