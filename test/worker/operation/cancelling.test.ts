import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { nextPage } from "../next-page";
import { newMerchant } from "../payment-list";
import {
  advanceSandbox,
  api,
  ask,
  authorised,
  confirmedWith,
  effectsOf,
  eventTypesOf,
  eventually,
  ledgerOf,
  newPayment,
  operationsOf,
  resumed,
} from "./shop";

describe("a cancellation", () => {
  it("of what the provider has not heard of costs no call", async () => {
    const merchant = await newMerchant();
    const before = await ledgerOf(merchant.id);
    const { body } = await merchant.api.create({ order_id: 1, amount: 1, currency: "USD", provider: "sandbox" });
    const path = `/api/v1/payments/${body.id}/cancel`;
    const headers = { "Idempotency-Key": "cancel" };
    const answer = await merchant.api.request("POST", path, { body: { reason: "Ordered twice" }, headers });
    expect([answer.status, answer.body]).toMatchObject([200, { status: "cancelled" }]);
    const again = await merchant.api.request("POST", path, { body: { reason: "Ordered twice" }, headers });
    expect([again.status, again.replayed]).toEqual([200, true]);
    expect([await ledgerOf(merchant.id), await operationsOf(body.id)]).toEqual([before, []]);
    const confirm = await merchant.api.request("POST", `/api/v1/payments/${body.id}/confirm`, {
      body: { payment_method: "test_ok" },
    });
    expect([confirm.status, confirm.body.detail]).toEqual([409, "Cannot confirm payment in cancelled status"]);
  });

  it("releases what was authorised, once", async () => {
    const { id } = await authorised();
    const { status, body } = await ask(id, "cancel", { reason: "Out of stock" }, `${id}-cancel`);
    expect([status, body.status, body.amount_captured]).toEqual([200, "cancelled", 0]);
    const again = await ask(id, "cancel", { reason: "Out of stock" }, `${id}-cancel`);
    expect([again.status, again.replayed, again.body]).toEqual([200, true, body]);
    expect(await effectsOf(id)).toEqual(["authorized 9999", "released 9999"]);
    expect(await eventTypesOf(id)).toEqual(["payment.created", "payment.authorized", "payment.cancelled"]);
    const capture = await ask(id, "capture");
    expect([capture.status, capture.body.detail]).toEqual([409, "Cannot capture payment in cancelled status"]);
  });

  it("while the payer decides leaves them nothing to pay", async () => {
    const { body } = await confirmedWith("test_action_ok");
    const page = nextPage(body.next_action);
    const cancelled = await ask(body.id, "cancel");
    expect([cancelled.status, cancelled.body.status, cancelled.body.next_action]).toEqual([200, "cancelled", null]);
    await env.SANDBOX_LEDGER.getByName("1").press(page.split("/").at(-1) ?? "", "pay");
    expect((await resumed(body.id)).status).toBe("cancelled");
    expect(await effectsOf(body.id)).toEqual([]);
    expect((await operationsOf(body.id)).map(({ kind, state }) => [kind, state])).toEqual([
      ["authorize", "failed"],
      ["cancel", "succeeded"],
    ]);
  });

  it("after the payer has paid is refused, and the payment is paid", async () => {
    const { body } = await confirmedWith("test_action_ok");
    await env.SANDBOX_LEDGER.getByName("1").press(nextPage(body.next_action).split("/").at(-1) ?? "", "pay");
    const { status, body: refused } = await ask(body.id, "cancel", {}, `${body.id}-too-late`);
    expect([status, refused.type, refused.detail]).toEqual([
      409,
      "/problems/action-not-allowed",
      "Cannot cancel payment in confirmed status",
    ]);
    expect((await api.get(body.id)).body).toMatchObject({ status: "confirmed", amount_captured: 99.99 });
    expect(await effectsOf(body.id)).toEqual(["captured 9999"]);
    const again = await ask(body.id, "cancel", {}, `${body.id}-too-late`);
    expect([again.status, again.body.detail]).toEqual([409, refused.detail]);
  });

  it("after the capture is refused, and asks nobody", async () => {
    const { body } = await confirmedWith("test_ok");
    const { status, body: refused } = await ask(body.id, "cancel");
    expect([status, refused.detail]).toEqual([409, "Cannot cancel payment in confirmed status"]);
    expect(await operationsOf(body.id)).toHaveLength(1);
  });

  it("while nobody knows what has become of the confirmation is refused", async () => {
    const { body } = await confirmedWith("test_not_found_at_first");
    expect(body.status).toBe("processing");
    const { status, body: refused } = await ask(body.id, "cancel");
    expect([status, refused.detail]).toEqual([409, "Cannot cancel payment in processing status"]);
    await eventually(body.id, (payment) => payment.status === "confirmed");
    expect(await effectsOf(body.id)).toEqual(["captured 9999"]);
  });

  it("whose answer is lost is done once, and another is answered as what it came to", async () => {
    const { body } = await confirmedWith("test_lost_answer", { capture_method: "manual" });
    await eventually(body.id, ({ status }) => status === "authorized");
    const first = await ask(body.id, "cancel", {}, `${body.id}-lost`);
    expect(first.status).toBe(202);
    // What another asks for finds out first what has become of it.
    const second = await ask(body.id, "cancel", {}, `${body.id}-other`);
    expect([second.status, second.body.detail]).toEqual([409, "Cannot cancel payment in cancelled status"]);
    const again = await ask(body.id, "cancel", {}, `${body.id}-lost`);
    expect([again.status, again.replayed, again.body.status]).toEqual([200, true, "cancelled"]);
    expect(await effectsOf(body.id)).toEqual(["authorized 9999", "released 9999"]);
  });

  it("of a payment that is paid all the same later leaves it cancelled, and opens an item", async () => {
    const { body } = await confirmedWith("test_paid_after_expiry");
    expect((await ask(body.id, "cancel")).body.status).toBe("cancelled");
    await advanceSandbox(4_000);
    expect(await resumed(body.id)).toMatchObject({ status: "cancelled", amount_captured: 0 });
    expect(await effectsOf(body.id)).toEqual(["captured 9999"]);
    const { results } = await env.DB.prepare("SELECT kind FROM reconciliation_items WHERE payment_id = ?")
      .bind(body.id)
      .all();
    expect(results).toEqual([{ kind: "late_success" }]);
  });

  it("takes no reason with a card number, and none that is too long", async () => {
    const { id } = await newPayment();
    for (const reason of ["4242 4242 4242 4242", "x".repeat(501), ""]) {
      const { status, body } = await ask(id, "cancel", { reason });
      expect([status, body.errors?.[0]?.pointer]).toEqual([422, "#/reason"]);
    }
    expect((await api.get(id)).body.status).toBe("pending");
  });
});
