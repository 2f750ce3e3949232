import { expect, it } from "vitest";
import { EVENT_TYPE_NAMES } from "../../../src/outbox/event-types";
import {
  ACTIONS,
  EXPIRING,
  eventType,
  isFinal,
  LIFECYCLE,
  LIVE_OR_PAID,
  outcome,
  PROVIDER_MOVES,
  refusal,
  STATUSES,
  STEPS,
  statusAfter,
  statusesBefore,
  statusesRepeating,
} from "../../../src/payment/lifecycle";

it("judges each action in each status as the design's table does", () => {
  const table = Object.fromEntries(
    STATUSES.map((status) => [status, ACTIONS.map((action) => outcome(status, action)).join(" ")]),
  );
  //                 confirm   capture cancel  fail    refund
  expect(table).toEqual({
    pending: "changed refused changed changed refused",
    requires_action: "unchanged refused changed refused refused",
    processing: "unchanged refused refused refused refused",
    authorized: "unchanged changed changed refused refused",
    confirmed: "unchanged refused refused refused changed",
    failed: "refused refused refused refused refused",
    cancelled: "refused refused refused refused refused",
    expired: "refused refused refused refused refused",
    refunded: "refused refused refused refused refused",
  });
});

it("moves a payment that settles at once where each action says", () => {
  expect(ACTIONS.map((action) => [action, statusAfter(action), statusesBefore(action)])).toEqual([
    ["confirm", "confirmed", ["pending"]],
    ["capture", "confirmed", ["authorized"]],
    ["cancel", "cancelled", ["pending", "requires_action", "authorized"]],
    ["fail", "failed", ["pending"]],
    ["refund", "refunded", ["confirmed"]],
  ]);
  expect(ACTIONS.map(statusesRepeating)).toEqual([
    ["requires_action", "processing", "authorized", "confirmed"],
    [],
    [],
    [],
    [],
  ]);
});

it("lets a confirmation of a provider's end as the design's table says", () => {
  expect(LIFECYCLE.pending.confirm).toEqual(["confirmed", "authorized", "requires_action", "processing", "failed"]);
});

it("lets providers and the clock move a payment as the design's table does", () => {
  expect(PROVIDER_MOVES).toEqual({
    pending: ["expired"],
    requires_action: ["processing", "authorized", "confirmed", "failed", "expired"],
    processing: ["requires_action", "authorized", "confirmed", "failed", "cancelled"],
    authorized: ["confirmed", "expired"],
    confirmed: [],
    failed: [],
    cancelled: [],
    expired: [],
    refunded: ["confirmed"],
  });
  expect(EXPIRING).toEqual(["pending", "requires_action"]);
  expect(STATUSES.filter(isFinal)).toEqual(["failed", "cancelled", "expired"]);
});

it("has every step once, of both tables, and no way out of what is final", () => {
  const steps = STATUSES.map((from) => [from, STEPS.filter((step) => step[0] === from).map(([, to]) => to)]);
  expect(steps).toEqual([
    ["pending", ["confirmed", "authorized", "requires_action", "processing", "failed", "cancelled", "expired"]],
    ["requires_action", ["cancelled", "processing", "authorized", "confirmed", "failed", "expired"]],
    ["processing", ["requires_action", "authorized", "confirmed", "failed", "cancelled"]],
    ["authorized", ["confirmed", "cancelled", "expired"]],
    // A part is refunded, and the status stays.
    ["confirmed", ["refunded", "confirmed"]],
    ["failed", []],
    ["cancelled", []],
    ["expired", []],
    ["refunded", ["confirmed"]],
  ]);
});

it("holds a place that one payment may have for those that may still be paid, or are", () => {
  expect(LIVE_OR_PAID).toEqual(["pending", "requires_action", "processing", "authorized", "confirmed"]);
});

it("words refusals as clients know them", () => {
  expect(refusal("pending", "refund")).toBe("Cannot refund payment in pending status");
});

it("names an event after the status it led to, and the first one after the creation", () => {
  expect(STATUSES.map(eventType)).toEqual([
    "payment.created",
    "payment.requires_action",
    "payment.processing",
    "payment.authorized",
    "payment.confirmed",
    "payment.failed",
    "payment.cancelled",
    "payment.expired",
    "payment.refunded",
  ]);
  expect(EVENT_TYPE_NAMES).toEqual(expect.arrayContaining(STATUSES.map(eventType)));
});
