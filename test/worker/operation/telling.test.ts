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
