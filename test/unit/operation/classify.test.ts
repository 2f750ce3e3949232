import { describe, expect, it } from "vitest";
import { classify, type Found, isRefusal, type KeyBefore } from "../../../src/operation/classify";
import type { Action, Status } from "../../../src/payment/lifecycle";
import { PAYMENT_DEFAULTS, type Payment } from "../../../src/payment/payment";

const PAYMENT = {
  ...PAYMENT_DEFAULTS,
  id: 7,
  merchant_id: 1,
  order_id: 42,
  amount_minor: 9999,
  currency: "USD",
  provider: "internal",
  created_at: 1_000,
  metadata: "{}",
};

/** The payment in a status and a version. */
const shown = (status: Status, version: number, more: Partial<Payment> = {}): Payment => ({
  ...PAYMENT,
  status,
  version,
  updated_at: 1_000 * version,
  ...more,
});
/** The payment after the batch, in a status and a version; without an event of the request unless one is given. */
const found = (status: Status, version: number, own: Payment | null = null): Found => ({
  payment: shown(status, version),
  own,
});

type Row = [what: string, Action | "update", readonly number[] | null, KeyBefore, Found | null, expected: object];

describe("what an action has come to", () => {
  it.each<Row>([
    [
      "a change",
      "confirm",
      null,
      "free",
      found("confirmed", 2, shown("confirmed", 2)),
      { tag: "changed", payment: shown("confirmed", 2) },
    ],
    [
      "a change of the expected version",
      "confirm",
      [1],
      "free",
      found("confirmed", 2, shown("confirmed", 2)),
      { tag: "changed", payment: shown("confirmed", 2) },
    ],
    [
      "a change of texts, in a status that no action leads out of",
      "update",
      null,
      "free",
      found("expired", 3, shown("expired", 3)),
      { tag: "changed", payment: shown("expired", 3) },
    ],
    [
      "texts that are so already",
      "update",
      [3],
      "free",
      found("failed", 3),
      { tag: "unchanged", payment: shown("failed", 3) },
    ],
    ["texts of another version", "update", [2], "free", found("failed", 3), { tag: "outdated", version: 3 }],
    ["texts under another's key", "update", null, "other request", found("failed", 3), { tag: "key_reused" }],
    [
      "a change whose answer was lost, and its key with it",
      "refund",
      null,
      "same request",
      found("refunded", 3, shown("refunded", 3)),
      { tag: "changed", payment: shown("refunded", 3) },
    ],
    [
      "a change that somebody went on from: as it was, with its own time",
      "confirm",
      null,
      "free",
      found("refunded", 3, shown("confirmed", 2)),
      { tag: "changed", payment: shown("confirmed", 2) },
    ],
    [
      "a repetition",
      "confirm",
      null,
      "free",
      found("confirmed", 2),
      { tag: "unchanged", payment: shown("confirmed", 2) },
    ],
    [
      "a repetition in the expected version",
      "confirm",
      [1, 2],
      "free",
      found("confirmed", 2),
      { tag: "unchanged", payment: shown("confirmed", 2) },
    ],
    ["a repetition in another version", "confirm", [1], "free", found("confirmed", 2), { tag: "outdated", version: 2 }],
    ["a repetition that is none", "refund", null, "free", found("refunded", 3), { tag: "refused", status: "refunded" }],
    ["a refusal", "refund", null, "free", found("pending", 1), { tag: "refused", status: "pending" }],
    [
      "a refusal in the expected version",
      "refund",
      [1],
      "free",
      found("pending", 1),
      { tag: "refused", status: "pending" },
    ],
    [
      "another version before another status",
      "refund",
      [3],
      "free",
      found("pending", 1),
      { tag: "outdated", version: 1 },
    ],
    ["no version that would do", "confirm", [], "free", found("pending", 1), { tag: "outdated", version: 1 }],
    [
      "a replay",
      "refund",
      null,
      "same request",
      found("refunded", 3),
      { tag: "replayed", payment: shown("refunded", 3) },
    ],
    [
      "a replay, whatever the version is now",
      "confirm",
      [1],
      "same request",
      found("refunded", 3),
      { tag: "replayed", payment: shown("refunded", 3) },
    ],
    ["a key of another request", "confirm", null, "other request", found("pending", 1), { tag: "key_reused" }],
    [
      "a key of another request, for what would be a repetition",
      "confirm",
      null,
      "other request",
      found("confirmed", 2),
      { tag: "key_reused" },
    ],
    [
      "a key of another request, before the version",
      "confirm",
      [9],
      "other request",
      found("pending", 1),
      { tag: "key_reused" },
    ],
    ["no payment", "confirm", null, "free", null, { tag: "not_found" }],
    ["no payment in any version", "confirm", [1], "free", null, { tag: "not_found" }],
    ["no payment, and a key of another request", "confirm", null, "other request", null, { tag: "key_reused" }],
  ])("%s", (_, action, expected, keyBefore, after, result) => {
    expect(classify({ action, expected, amount: null, now: 9_000, isOurs: false }, keyBefore, after)).toEqual(result);
  });
});

describe("what an action that its status allows has not come to", () => {
  const asked = { action: "refund" as const, expected: null, now: 9_000, isOurs: false };

  it("is too large an amount, with what is left", () => {
    const payment = shown("confirmed", 2, { captured_minor: 9999, refunded_minor: 5000 });
    const result = classify({ ...asked, amount: { ok: true, minor: 5000 } }, "free", { payment, own: null });
    expect(result).toEqual({ tag: "exceeds", payment });
  });

  it("is no amount of the payment's currency", () => {
    const amount = { ok: false as const, detail: "Must have at most 0 decimal places in this currency" };
    expect(classify({ ...asked, amount }, "free", found("confirmed", 2))).toEqual({
      tag: "invalid_amount",
      detail: amount.detail,
    });
  });

  it("is one that its status does not allow, whatever the amount", () => {
    const amount = { ok: true as const, minor: 9999 };
    const refused = { tag: "refused", status: "pending" };
    expect(classify({ ...asked, amount }, "free", found("pending", 1))).toEqual(refused);
  });

  it("is never what a payment without an end, or one that was confirmed in time, has ended by", () => {
    const endless = { payment: shown("pending", 1, { expires_at: null }), own: null };
    const confirm = { ...asked, action: "confirm" as const, amount: null };
    expect(classify(confirm, "free", endless)).toEqual({ tag: "refused", status: "pending" });
    const payment = shown("confirmed", 2, { expires_at: 8_000, captured_minor: 9999, refunded_minor: 5000 });
    const result = classify({ ...asked, amount: { ok: true, minor: 5000 } }, "free", { payment, own: null });
    expect(result).toEqual({ tag: "exceeds", payment });
  });

  it.each([
    [8_999, { tag: "refused", status: "expired" }],
    [9_000, { tag: "refused", status: "expired" }],
    // It was changed by something that this batch has not seen.
    [9_001, { tag: "refused", status: "pending" }],
  ])("is a confirmation of what ended at %i", (expires_at, result) => {
    const payment = shown("pending", 1, { expires_at });
    expect(classify({ ...asked, action: "confirm", amount: null }, "free", { payment, own: null })).toEqual(result);
  });
});

describe("an action on a payment that another provider makes", () => {
  const asked = { action: "refund" as const, expected: null, amount: null, now: 9_000 };
  const refunded = { payment: shown("refunded", 3, { provider: "sandbox" }), own: null };

  it("is for the protocol, whatever its key stands for", () => {
    for (const keyBefore of ["free", "same request", "other request"] as const) {
      expect(classify({ ...asked, isOurs: false }, keyBefore, refunded)).toEqual({ tag: "elsewhere" });
    }
  });

  it("is classified like any other where it is for the service alone to do", () => {
    const result = { tag: "replayed", payment: refunded.payment };
    expect(classify({ ...asked, isOurs: true }, "same request", refunded)).toEqual(result);
  });
});

it("takes for a refusal what says that nothing was changed, and nothing else", () => {
  const refusals = ["not_found", "refused", "in_the_way", "invalid_amount", "invalid_metadata", "exceeds", "outdated"];
  const tags = ["changed", "unchanged", "replayed", "key_reused", "outage", ...refusals];
  expect(tags.filter((tag) => isRefusal({ tag }))).toEqual(refusals);
});
