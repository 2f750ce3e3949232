import { expect, it } from "vitest";
import type { PaymentEventResponse } from "../../../src/payment/response";
import { advanceSandbox, api, ask, confirmedWith, resumed } from "./shop";

/** The newest event of a payment, as its history shows it and as the feed does. */
async function newestEvent(id: number): Promise<PaymentEventResponse> {
  const { body } = await api.request<{ data: PaymentEventResponse[] }>("GET", `/api/v1/payments/${id}/events`);
  const newest = body.data.at(-1);
  if (newest === undefined) throw new Error("The payment has no event");
  const one = await api.request<PaymentEventResponse>("GET", `/api/v1/events/${newest.id}`);
  expect(one.body).toEqual(newest);
  return newest;
}

it.each([
  ["test_dispute_lost", "open", "lost"],
  ["test_dispute_won", "open", "won"],
  ["test_dispute_inquiry", "inquiry", "won"],
])("the events of a dispute (%s) show it, as it was then", async (token, opened, closed) => {
  const { body } = await confirmedWith(token);
  await advanceSandbox(3_100);
  await resumed(body.id);
  const first = await newestEvent(body.id);
  expect([first.type, first.dispute]).toMatchObject([
    "dispute.opened",
    { payment_id: body.id, amount: 99.99, currency: "USD", state: opened, reason: "not_received" },
  ]);
  await advanceSandbox(3_100);
  await resumed(body.id);
  const last = await newestEvent(body.id);
  expect([last.type, last.dispute]).toEqual([
    "dispute.closed",
    { ...first.dispute, state: closed, due_at: last.dispute?.due_at, updated_at: last.timestamp },
  ]);
  const { body: list } = await api.request<{ data: object[] }>("GET", `/api/v1/disputes?payment_id=${body.id}`);
  expect(list.data).toEqual([last.dispute]);
});

it("the event of a reconciliation item says what was found, in the currency's own units", async () => {
  const { body } = await confirmedWith("test_paid_after_expiry");
  await ask(body.id, "cancel");
  await advanceSandbox(4_000);
  await resumed(body.id);
  const event = await newestEvent(body.id);
  const item = {
    payment_id: body.id,
    kind: "late_success",
    reference: event.data.provider_reference,
    detail: "The provider captured 99.99 USD of a payment that is cancelled",
  };
  expect([event.type, event.reconciliation_item]).toMatchObject(["reconciliation.item_opened", item]);
  const { body: list } = await api.request<{ data: object[] }>("GET", `/api/v1/reconciliation?payment_id=${body.id}`);
  expect(list.data).toEqual([event.reconciliation_item]);
});

it("other events have neither", async () => {
  const { body } = await confirmedWith("test_ok");
  expect(await newestEvent(body.id)).toMatchObject({ refund: null, dispute: null, reconciliation_item: null });
});

it("what is refundable is less what pending refunds may take", async () => {
  const { body } = await confirmedWith("test_refund_pending");
  const refund = await ask(body.id, "refunds", { amount: 30 });
  expect(refund.body.status).toBe("pending");
  expect((await api.get(body.id)).body).toMatchObject({ amount_refunded: 0, amount_refundable: 69.99 });
  expect(await newestEvent(body.id)).toMatchObject({
    type: "refund.created",
    data: { amount_refundable: 69.99 },
    previous: { amount_refundable: 99.99 },
  });
  const { status, body: refused } = await ask(body.id, "refunds", { amount: 70 });
  expect([status, refused.detail]).toEqual([409, "At most 69.99 USD can be refunded"]);
  await advanceSandbox(3_100);
  expect(await resumed(body.id)).toMatchObject({ amount_refunded: 30, amount_refundable: 69.99 });
});

it.each([
  ["test_dispute_lost", 0, 0],
  ["test_dispute_won", 0, 99.99],
  ["test_dispute_inquiry", 99.99, 99.99],
])("what is refundable is less what a dispute (%s) may take, or has taken", async (token, opened, closed) => {
  const { body } = await confirmedWith(token);
  await advanceSandbox(3_100);
  expect((await resumed(body.id)).amount_refundable).toBe(opened);
  await advanceSandbox(3_100);
  expect((await resumed(body.id)).amount_refundable).toBe(closed);
});
