import { describe, expect, it } from "vitest";
import { classify, isRefusal, type KeyBefore, type PaymentAfter } from "../../../src/operation/classify";
import type { Action, Status } from "../../../src/payment/lifecycle";

const PAYMENT = {
  id: 7,
  merchant_id: 1,
  order_id: 42,
  amount_minor: 9999,
  currency: "USD",
  provider: "internal",
  created_at: 1_000,
  metadata: "{}",
};

/** The payment after the batch, in a status and a version; without an event of the request. */
const found = (status: Status, version: number, own: Partial<PaymentAfter> = {}): PaymentAfter => ({
  ...PAYMENT,
  status,
  version,
  updated_at: 1_000 * version,
  own_version: null,
  own_updated_at: null,
  ...own,
});
/** The same, as a caller sees it. */
const shown = (status: Status, version: number) => ({ ...PAYMENT, status, version, updated_at: 1_000 * version });
const own = (version: number) => ({ own_version: version, own_updated_at: 1_000 * version });

type Row = [what: string, Action, readonly number[] | null, KeyBefore, PaymentAfter | null, expected: object];

describe("what an action has come to", () => {
  it.each<Row>([
    [
      "a change",
      "confirm",
      null,
      "free",
      found("confirmed", 2, own(2)),
      { tag: "changed", payment: shown("confirmed", 2) },
    ],
    [
      "a change of the expected version",
      "confirm",
      [1],
      "free",
      found("confirmed", 2, own(2)),
      { tag: "changed", payment: shown("confirmed", 2) },
    ],
    [
      "a change whose answer was lost, and its key with it",
      "refund",
      null,
      "same request",
      found("refunded", 3, own(3)),
      { tag: "changed", payment: shown("refunded", 3) },
    ],
    [
      "a change that somebody went on from: as it was, with its own time",
      "confirm",
      null,
      "free",
      found("refunded", 3, own(2)),
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
    expect(classify(action, expected, keyBefore, after)).toEqual(result);
  });
});

it("takes for a refusal what says that nothing was changed, and nothing else", () => {
  const tags = ["changed", "unchanged", "replayed", "not_found", "refused", "outdated", "key_reused", "outage"];
  expect(tags.filter((tag) => isRefusal({ tag }))).toEqual(["not_found", "refused", "outdated"]);
});
