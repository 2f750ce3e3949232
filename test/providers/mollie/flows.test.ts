/**
 * Payments at a Mollie of our own, behind Prism: what the adapter and the reducer make of them, and what Mollie holds in the end. Every
 * request and every answer is held to Mollie's document.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { mollie } from "../../../src/provider/mollie/mollie";
import type { NotificationRequest } from "../../../src/provider/seam";
import { type Asked, aPayment, withScheduler } from "../payment";
import { type Mollie, startMollie } from "./mollie";

let there: Mollie;
beforeAll(async () => {
  there = await startMollie();
});
afterAll(() => there?.stop());
beforeEach(withScheduler);
afterEach(() => {
  vi.unstubAllGlobals();
  expect(there.faults.splice(0)).toEqual([]);
  expect(there.violations.splice(0)).toEqual([]);
});

const RETURN = { returnUrl: "https://shop.example/order/42", serviceOrigin: "https://pay.example" };
const MANUAL = { captureMethod: "manual" } as const;

function at(asked: Asked = {}) {
  const payment = aPayment(mollie, there.connection, { ...asked, request: { ...RETURN, ...asked.request } });
  const reference = () => payment.view().providerReference ?? "";
  return { ...payment, reference, held: () => there.ledger.find(reference()) };
}

/** A payment that its payer has authorised, or paid. */
async function done(status: "authorized" | "paid", asked: Asked = {}) {
  const payment = at(asked);
  await payment.run("authorize");
  there.ledger.move(payment.reference(), status);
  await payment.ask();
  return payment;
}

describe("a payment that its payer pays on Mollie's page", () => {
  it("leads the payer there, and is confirmed once it is paid", async () => {
    const { run, ask, view, reference, events, held } = at();
    const { performed } = await run("authorize");
    expect(performed).toMatchObject({ tag: "answered", snapshot: { status: "requires_action", capturedMinor: 0 } });
    expect(view()).toMatchObject({
      status: "requires_action",
      nextAction: { type: "redirect", url: `https://www.mollie.com/checkout/${reference()}` },
    });
    there.ledger.move(reference(), "pending");
    expect(await ask()).toMatchObject({ status: "processing", nextAction: null });
    there.ledger.move(reference(), "paid");
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
    expect(events).toEqual(["payment.requires_action", "payment.processing", "payment.confirmed"]);
    expect(held()).toMatchObject({ minor: 10_000, body: { description: expect.stringMatching(/^Payment \d+$/) } });
  });

  it.each([
    ["EUR", 1, "0.01"],
    ["EUR", 100_000_000, "1000000.00"],
    ["HUF", 12_345, "123.45"],
    ["JPY", 500, "500"],
    ["ISK", 7, "7"],
  ])("moves %s %i as Mollie writes it", async (currency, amountMinor, value) => {
    const { view, held } = await done("paid", { currency, amountMinor });
    expect(held().body.amount).toEqual({ currency, value });
    expect(view()).toMatchObject({ status: "confirmed", capturedMinor: amountMinor, items: [] });
  });

  it.each([
    ["failed", { status: "failed", failure: { code: "insufficient_funds", decline_code: "insufficient_funds" } }],
    ["expired", { status: "expired", failure: { code: "expired" } }],
    ["canceled", { status: "expired", failure: { code: "cancelled_by_payer", decline_code: "canceled" } }],
  ] as const)("ends where it is %s", async (status, expected) => {
    const { run, ask, reference, unsettled, events } = at();
    await run("authorize");
    there.ledger.move(reference(), status, {
      ...(status === "failed" && { method: "creditcard", failureReason: "insufficient_funds" }),
    });
    expect(await ask()).toMatchObject({ ...expected, capturedMinor: 0, items: [] });
    expect(unsettled()).toEqual([]);
    expect(events.at(-1)).toBe(`payment.${expected.status}`);
  });

  it("is paid with the method that was asked for, and refused where the account has it not", async () => {
    const chosen = await done("paid", { request: { paymentMethod: "paypal", description: "Order 42" } });
    expect(chosen.held().body).toMatchObject({ method: "paypal", description: "Order 42" });
    await expect(at({ request: { paymentMethod: "bizum" } }).prepare()).rejects.toThrow(
      /refused.*invalid_payment_method/,
    );
  });

  it("is refused in a currency that Mollie does not take, and beyond its limits", async () => {
    await expect(at({ currency: "KWD" }).prepare()).rejects.toThrow(/refused.*The currency is not supported/);
    await expect(at({ amountMinor: 2_000_000_000 }).prepare()).rejects.toThrow(/refused.*higher than the maximum/);
  });

  it("is made once when its making comes twice, and again once Mollie has forgotten the key", async () => {
    const { prepare, reference, payment } = at();
    const before = there.ledger.payments.length;
    there.faults.push("lost");
    await expect(prepare("nonce-a")).rejects.toThrow(/unknown/);
    await prepare("nonce-a");
    expect(there.ledger.payments.length).toBe(before + 1);
    const operation = {
      kind: "authorize",
      amountMinor: 10_000,
      nonce: "nonce-a",
      request: RETURN,
      payment: payment(),
    } as const;
    expect(await mollie.prepare(there.connection, operation)).toEqual({ tag: "prepared", reference: reference() });
    // The window that is counted on ends before the hour.
    expect(mollie.capabilities.keyWindowMs).toBeLessThan(3_600_000);
    there.ledger.now += mollie.capabilities.keyWindowMs;
    expect(await mollie.prepare(there.connection, operation)).toEqual({ tag: "prepared", reference: reference() });
    there.ledger.now += 3_600_000;
    // Nobody is shown the other one, which expires.
    expect(await mollie.prepare(there.connection, operation)).not.toMatchObject({ reference: reference() });
  });

  it("is found where its making comes twice in other words", async () => {
    const { prepare, payment, reference } = at();
    await prepare("nonce-b");
    const request = { ...RETURN, description: "Changed meanwhile" };
    const again = { kind: "authorize", amountMinor: 10_000, nonce: "nonce-b", request, payment: payment() } as const;
    expect(await mollie.prepare(there.connection, again)).toEqual({ tag: "prepared", reference: reference() });
  });

  it.each([429, 409, 503])("is asked for again after %i", async (status) => {
    const { prepare, view } = at();
    there.faults.push(status);
    await expect(prepare()).rejects.toThrow(status === 503 ? /unknown/ : /busy.*"retryAfterMs":3000/);
    await prepare();
    expect(view().providerReference).toMatch(/^tr_/);
  });
});

describe("a card that was entered in Mollie's script", () => {
  it("is charged without a page where the bank asks nothing", async () => {
    const { run, view, held } = at({ request: { paymentMethod: "tkn_frictionless" } });
    await run("authorize");
    expect(held()).toMatchObject({ method: "creditcard", body: { cardToken: "tkn_frictionless" } });
    expect(view()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
  });

  it("is charged once, even when Mollie has forgotten the key of an answer that was lost", async () => {
    const { prepare, run, reference, view } = at({ request: { paymentMethod: "tkn_once" } });
    there.faults.push("lost");
    await expect(prepare("nonce-c")).rejects.toThrow(/unknown/);
    const [made] = there.ledger.payments;
    there.ledger.now += 7_200_000;
    await at().prepare();
    await prepare("nonce-c");
    expect(reference()).toBe(made?.id);
    await run("authorize");
    there.ledger.move(reference(), "paid", { method: "creditcard" });
    expect(there.ledger.payments.filter(({ body }) => body.cardToken === "tkn_once")).toHaveLength(1);
    expect(view()).toMatchObject({ status: "requires_action" });
  });

  it("is refused where it served before", async () => {
    await at({ request: { paymentMethod: "tkn_served" } }).prepare();
    await expect(at({ request: { paymentMethod: "tkn_served" } }).prepare()).rejects.toThrow(/refused.*used before/);
  });
});

describe("a payment that is authorised first", () => {
  it("is captured whole, pending first", async () => {
    const { run, ask, view, reference, held, events } = await done("authorized", MANUAL);
    expect(view()).toMatchObject({ status: "authorized", capturedMinor: 0 });
    await run("capture");
    expect(view()).toMatchObject({ status: "authorized", operations: [{}, { kind: "capture", state: "pending" }] });
    await ask();
    expect(view().operations[1]).toMatchObject({ state: "pending" });
    there.ledger.settle(reference());
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
    expect(held()).toMatchObject({ status: "paid", isReleasing: false });
    expect(events).toEqual(["payment.requires_action", "payment.authorized", "payment.confirmed"]);
  });

  it("is captured in part, and the rest released, which the bank does later", async () => {
    const { run, ask, reference, held, unsettled } = await done("authorized", MANUAL);
    await run("capture", 4_000);
    expect(held()).toMatchObject({ isReleasing: false, captures: [{ minor: 4_000, status: "pending" }] });
    there.ledger.settle(reference());
    expect(held().status).toBe("authorized");
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 4_000, items: [] });
    expect(held()).toMatchObject({ status: "authorized", isReleasing: true });
    there.ledger.settle(reference());
    expect(held().status).toBe("paid");
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 4_000, items: [] });
    expect(unsettled()).toEqual([]);
  });

  it("counts as captured only once Mollie has taken that the rest is released", async () => {
    const { run, ask, view, reference, held } = await done("authorized", MANUAL);
    await run("capture", 4_000);
    there.ledger.settle(reference());
    there.faults.push(503);
    expect(await ask()).toMatchObject({ status: "authorized", operations: [{}, { state: "pending" }] });
    there.faults.push("lost");
    await ask();
    expect(held().isReleasing).toBe(true);
    expect(view().status).toBe("authorized");
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 4_000, items: [] });
  });

  it("is captured once when its capture comes twice, and found when the answer was lost", async () => {
    const { run, ask, view, reference, held } = await done("authorized", MANUAL);
    there.faults.push("lost");
    const { performed, again } = await run("capture", 4_000);
    expect(performed).toMatchObject({ tag: "unknown" });
    expect(await again()).toMatchObject({ tag: "answered" });
    await ask();
    expect(held().captures).toHaveLength(1);
    expect(view().operations[1]).toMatchObject({ state: "pending" });
    there.ledger.settle(reference());
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 4_000, items: [] });
  });

  it("stays authorised where the capture fails", async () => {
    const { run, ask, reference } = await done("authorized", MANUAL);
    await run("capture", 4_000);
    there.ledger.settle(reference(), "failed");
    const failure = { code: "capture_failed" };
    expect(await ask()).toMatchObject({ status: "authorized", operations: [{}, { state: "failed", failure }] });
    await run("capture");
    there.ledger.settle(reference());
    expect(await ask()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
  });

  it("lapses where the authorisation fails", async () => {
    const { ask, reference } = await done("authorized", MANUAL);
    there.ledger.move(reference(), "failed");
    expect(await ask()).toMatchObject({ status: "expired", capturedMinor: 0 });
  });

  it("is released, which the bank does later", async () => {
    const { run, ask, view, reference, held, unsettled, events } = await done("authorized", MANUAL);
    const { performed, again } = await run("cancel");
    expect(performed).toMatchObject({ tag: "answered", snapshot: { status: "authorized" } });
    expect(held()).toMatchObject({ status: "authorized", isReleasing: true });
    // Asked for again under its key, it is taken again.
    expect(await again()).toMatchObject({ tag: "answered", snapshot: { status: "authorized" } });
    expect(view().status).toBe("authorized");
    there.ledger.settle(reference());
    expect(await ask()).toMatchObject({ status: "cancelled" });
    expect(unsettled()).toEqual([]);
    expect(events.at(-1)).toBe("payment.cancelled");
  });

  it("is confirmed at once where the payer's method knows no authorisation", async () => {
    const { view } = await done("paid", MANUAL);
    expect(view()).toMatchObject({ status: "confirmed", capturedMinor: 10_000, items: [] });
  });
});

describe("a payment that is cancelled before it is paid", () => {
  it("is cancelled where Mollie lets it be", async () => {
    const { run, view, held } = at({ request: { paymentMethod: "banktransfer" } });
    await run("authorize");
    const { again } = await run("cancel");
    expect(view()).toMatchObject({ status: "cancelled", nextAction: null });
    expect(held().status).toBe("canceled");
    expect(await again()).toMatchObject({ tag: "answered", snapshot: { status: "cancelled" } });
  });

  it("waits for its end where Mollie does not, and is confirmed if it is paid before", async () => {
    const { run, ask, view, reference, unsettled } = at();
    await run("authorize");
    const { performed } = await run("cancel");
    expect(performed).toMatchObject({ tag: "answered", snapshot: { status: "requires_action" } });
    expect(unsettled()).toMatchObject([{ kind: "authorize" }, { kind: "cancel", state: "open" }]);
    there.ledger.move(reference(), "paid");
    await ask();
    expect(view()).toMatchObject({ status: "confirmed", operations: [{ state: "succeeded" }, { state: "failed" }] });
  });

  it("ends with its expiry at Mollie", async () => {
    const { run, ask, reference, unsettled } = at();
    await run("authorize");
    await run("cancel");
    there.ledger.move(reference(), "expired");
    expect(await ask()).toMatchObject({ status: "expired" });
    expect(unsettled()).toEqual([]);
  });

  it("is not cancelled once it is paid", async () => {
    const { run, view, held } = await done("paid");
    await run("cancel");
    expect(view()).toMatchObject({ status: "confirmed", operations: [{}, { state: "failed" }] });
    expect(held().status).toBe("paid");
  });
});

describe("a refund", () => {
  it("is pending until Mollie has made it", async () => {
    const { run, ask, view, held, events } = await done("paid");
    await run("refund", 4_000);
    expect(view()).toMatchObject({ refundedMinor: 0, operations: [{}, { kind: "refund", state: "pending" }] });
    const [refund] = held().refunds;
    for (const status of ["pending", "processing"]) {
      there.ledger.setRefund(refund?.id ?? "", status);
      expect(await ask()).toMatchObject({ refundedMinor: 0, operations: [{}, { state: "pending" }] });
    }
    there.ledger.setRefund(refund?.id ?? "", "refunded");
    expect(await ask()).toMatchObject({ status: "confirmed", refundedMinor: 4_000, items: [] });
    await run("refund", 6_000);
    there.ledger.setRefund(held().refunds[1]?.id ?? "", "refunded");
    expect(await ask()).toMatchObject({ status: "refunded", refundedMinor: 10_000, items: [] });
    expect(events.slice(-4)).toEqual(["refund.created", "refund.succeeded", "refund.created", "payment.refunded"]);
  });

  it.each(["failed", "canceled"])("that is %s gives its amount free", async (status) => {
    const { run, ask, held } = await done("paid");
    await run("refund", 10_000);
    there.ledger.setRefund(held().refunds[0]?.id ?? "", status);
    const failure = { code: "refund_failed", decline_code: status };
    expect(await ask()).toMatchObject({ refundedMinor: 0, operations: [{}, { state: "failed", failure }] });
    there.ledger.now += 60_000;
    await run("refund", 10_000);
    there.ledger.setRefund(held().refunds[1]?.id ?? "", "refunded");
    expect(await ask()).toMatchObject({ status: "refunded", refundedMinor: 10_000, items: [] });
  });

  it("fails after it was made", async () => {
    const { run, ask, held } = await done("paid");
    await run("refund", 10_000);
    there.ledger.setRefund(held().refunds[0]?.id ?? "", "refunded");
    expect(await ask()).toMatchObject({ status: "refunded" });
    there.ledger.setRefund(held().refunds[0]?.id ?? "", "failed");
    expect(await ask()).toMatchObject({ status: "confirmed", refundedMinor: 0, items: [] });
  });

  it("is made once when it comes twice, and found when the answer was lost", async () => {
    const { run, ask, held, view } = await done("paid");
    there.faults.push("lost");
    const { again } = await run("refund", 4_000);
    expect(view().operations[1]).toMatchObject({ state: "unknown" });
    await ask();
    expect(view().operations[1]).toMatchObject({ state: "pending", providerReference: held().refunds[0]?.id });
    expect(await again()).toMatchObject({ tag: "answered" });
    expect(held().refunds).toHaveLength(1);
  });

  it("that is the twin of another one is made later", async () => {
    const { run, held, view } = await done("paid");
    await run("refund", 4_000);
    const twin = await run("refund", 4_000);
    expect(twin.performed).toMatchObject({ tag: "busy" });
    there.ledger.now += 60_000;
    // Mollie keeps what it has said under a key, whatever that was: the twin is said again.
    expect(await twin.again()).toMatchObject({ tag: "busy" });
    expect(held().refunds).toHaveLength(1);
    expect(view().operations[2]).toMatchObject({ state: "unknown" });
  });

  it("of more than there is is refused", async () => {
    const { run, view } = await done("paid");
    await run("refund", 10_001);
    expect(view()).toMatchObject({ status: "confirmed", operations: [{}, { state: "failed" }] });
  });

  it("that somebody makes in Mollie's dashboard is adopted", async () => {
    const { ask, reference } = await done("paid");
    there.ledger.refundInDashboard(reference(), 2_500);
    expect(await ask()).toMatchObject({
      ...{ status: "confirmed", refundedMinor: 2_500, items: [] },
      operations: [{}, { kind: "refund", source: "provider", state: "succeeded", nonce: null }],
    });
  });
});

describe("a chargeback", () => {
  it("is a dispute that stays open, until it is reversed", async () => {
    const { ask, reference, events } = await done("paid");
    const chargeback = there.ledger.chargeBack(reference(), 10_000);
    const dispute = { reference: chargeback.id, amountMinor: 10_000, state: "open", reason: null, dueAt: null };
    expect(await ask()).toMatchObject({ status: "confirmed", disputes: [dispute] });
    there.ledger.reverse(chargeback);
    expect(await ask()).toMatchObject({ status: "confirmed", disputes: [{ ...dispute, state: "won" }], items: [] });
    expect(events.slice(-2)).toEqual(["dispute.opened", "dispute.closed"]);
  });

  it("in part stands beside a refund of the rest", async () => {
    const { run, ask, held, reference } = await done("paid");
    await run("refund", 4_000);
    there.ledger.setRefund(held().refunds[0]?.id ?? "", "refunded");
    const { id } = there.ledger.chargeBack(reference(), 6_000);
    expect(await ask()).toMatchObject({
      ...{ status: "confirmed", refundedMinor: 4_000, items: [] },
      disputes: [{ reference: id, amountMinor: 6_000, state: "open" }],
    });
  });
});

describe("a notification", () => {
  const read = (changes: Partial<NotificationRequest> = {}) => {
    const [last] = there.ledger.notifications.slice(-1);
    const request = { url: last?.url ?? "", body: last?.body ?? "", headers: new Headers(), now: 0, ...changes };
    return mollie.readNotification(there.connection, request);
  };

  it("comes to the payment's own URL, and says which payment it is", async () => {
    const { id, reference } = await done("paid");
    expect(await read()).toEqual({ tag: "notified", id: null, reference: reference(), paymentId: id });
    expect(there.ledger.notifications.at(-1)?.url).toMatch(
      /^https:\/\/pay\.example\/api\/v1\/provider-notifications\/mollie_3\?payment=\d+&mac=[0-9a-f]{64}$/,
    );
  });

  it("is asked for nowhere where Mollie does not reach the service", async () => {
    const { held } = await done("paid", { request: { serviceOrigin: "http://localhost:8787" } });
    expect(held().body.webhookUrl).toBeUndefined();
  });
});
