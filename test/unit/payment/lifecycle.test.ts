import { expect, it } from "vitest";
import { EVENT_TYPE_NAMES } from "../../../src/outbox/event-types";
import { ACTIONS, eventType, LIFECYCLE, outcome, refusal, STATUSES } from "../../../src/payment/lifecycle";

it("judges each action in each status as the design's table does", () => {
  const table = Object.fromEntries(
    STATUSES.map((status) => [status, ACTIONS.map((action) => outcome(status, action)).join(" ")]),
  );
  expect(table).toEqual({
    pending: "changed changed refused",
    confirmed: "unchanged refused changed",
    failed: "refused refused refused",
    refunded: "refused refused refused",
  });
});

it("moves a payment where each action says", () => {
  expect(ACTIONS.map((action) => [action, LIFECYCLE[action].to])).toEqual([
    ["confirm", "confirmed"],
    ["fail", "failed"],
    ["refund", "refunded"],
  ]);
});

it("never names as a way out the status an action leads to", () => {
  for (const { from, to } of Object.values(LIFECYCLE)) expect(from).not.toContain(to);
});

it("words refusals as clients know them", () => {
  expect(refusal("pending", "refund")).toBe("Cannot refund payment in pending status");
});

it("names an event after the status it led to, and the first one after the creation", () => {
  expect(STATUSES.map(eventType)).toEqual([
    "payment.created",
    "payment.confirmed",
    "payment.failed",
    "payment.refunded",
  ]);
  expect(EVENT_TYPE_NAMES).toEqual(expect.arrayContaining(STATUSES.map(eventType)));
});
