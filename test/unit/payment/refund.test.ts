import { describe, expect, it } from "vitest";
import { REFUND_ID_PATTERN, readRefundId, refundId, refundOf, toRefundResponse } from "../../../src/payment/refund";

const EVENT = { payment_id: 7, number: 3, amount_minor: 4_000, currency: "USD", created_at: Date.UTC(2026, 0, 20) };
const DETAILS = { reason: null, metadata: {} };

describe("the refund that an event tells of", () => {
  it("is the event itself where it settles at once", () => {
    expect(refundOf(EVENT, { reason: "returned", metadata: { return: "r-12" } })).toEqual({
      ...EVENT,
      status: "succeeded",
      failure: null,
      reason: "returned",
      metadata: { return: "r-12" },
      updated_at: EVENT.created_at,
    });
  });

  it("is what the event says of it where a provider decides", () => {
    const failure = { code: "provider_error" as const, decline_code: "lost_or_stolen_card", message: "No" };
    const stored = { ...DETAILS, number: 1, amount_minor: 500, status: "failed" as const, failure, created_at: 1 };
    expect(refundOf({ ...EVENT, amount_minor: -500 }, stored)).toEqual({
      ...EVENT,
      ...stored,
      updated_at: EVENT.created_at,
    });
  });
});

it.each([
  ["JPY", 40, 40],
  ["USD", 40, 0.4],
  ["KWD", 40, 0.04],
])("is shown in major units of %s", (currency, amount_minor, amount) => {
  expect(toRefundResponse(refundOf({ ...EVENT, currency, amount_minor }, DETAILS))).toEqual({
    id: "re_7_3",
    payment_id: 7,
    amount,
    currency,
    status: "succeeded",
    reason: null,
    metadata: {},
    failure: null,
    created_at: "2026-01-20T00:00:00.000Z",
    updated_at: "2026-01-20T00:00:00.000Z",
  });
});

it("is shown with its metadata", () => {
  const metadata = { return: "r-12" };
  expect(toRefundResponse(refundOf(EVENT, { reason: "returned", metadata }))).toMatchObject({
    reason: "returned",
    metadata,
  });
});

it("is not shown in a currency that nobody knows", () => {
  const refund = refundOf({ ...EVENT, currency: "XXX" }, DETAILS);
  expect(() => toRefundResponse(refund)).toThrow("A refund is stored in the unknown currency XXX");
});

describe("an id", () => {
  const documented = new RegExp(REFUND_ID_PATTERN);

  it.each([
    [1, 3],
    [9_007_199_254_740_991, 9_007_199_254_740_991],
  ])("of payment %i and number %i is read as it is written", (payment_id, number) => {
    expect(readRefundId(refundId({ payment_id, number }))).toEqual({ payment_id, number });
    expect(refundId({ payment_id, number })).toMatch(documented);
  });

  it.each([
    "",
    "re_1",
    "re_1_",
    "re_0_1",
    "re_1_0",
    "re_01_1",
    "re_1_1_1",
    "RE_1_1",
    "evt_1_1",
    " re_1_1",
    "re_1_12345678901234567",
  ])("is not %j", (id) => {
    expect(readRefundId(id)).toBeNull();
    expect(id).not.toMatch(documented);
  });
});
